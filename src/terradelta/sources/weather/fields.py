"""One quantity of the weather in one or many files: when it is known, where, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import SourceError
from terradelta.sources.units import conversion

__all__ = ["Field", "Index", "Load", "Times", "as_slice", "by_runs", "converted", "depth_of_snow", "join"]

Index: TypeAlias = NDArray[np.intp]
Times: TypeAlias = NDArray[np.datetime64]
Load: TypeAlias = Callable[[Index, Index, Index], NDArray[np.float64]]
"""Gives values (time, y, x) at indices of times, rows and columns; NaN = missing."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One quantity, read when it is asked for.

    Attributes
    ----------
    where : str
        File and variable, for messages.
    times : array of datetime64[ns]
        Stamps, UTC, rising.
    load : callable
        Reads values in the cube's units.
    added : bool
        Values are amounts: those of a day are added up; else they are averaged.
    ends : bool
        Stamps are the ends of the spans that the values speak of, not their starts or moments.
    hourly : bool
        Amounts are those of one hour whatever the stamps' distance, unless they count from 00 UTC on.
    y, x : array, optional
        Middles of the cells; None for a single place.
    crs : str
        Of `y` and `x`; empty if unknown.
    """

    where: str
    times: Times
    load: Load
    added: bool
    ends: bool = False
    hourly: bool = False
    y: NDArray[np.float64] | None = None
    x: NDArray[np.float64] | None = None
    crs: str = ""

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.where.split(": ")[0]

    def same_cells(self, other: Field) -> bool:
        """Whether two fields lie on one grid."""
        if self.y is None or other.y is None or self.x is None or other.x is None:
            return self.y is None and other.y is None
        pairs = ((self.y, other.y), (self.x, other.x))
        alike = all(a.size == b.size and np.allclose(a, b, rtol=0, atol=1e-4) for a, b in pairs)
        return alike and self.crs == other.crs

    def counts_like(self, other: Field) -> bool:
        """Whether two fields lie on one grid and both are amounts, or rates, of like spans."""
        kinds = ((one.added, one.ends, one.hourly) for one in (self, other))
        return self.same_cells(other) and len(set(kinds)) == 1


def converted(quantity: str, unit: str, where: str, load: Load) -> tuple[Load, bool]:
    """Let values be read in the cube's units; and tell whether those of a day are added up.

    Raises
    ------
    SourceError
        An unknown unit, or none.
    """
    factor, summand, added = conversion(quantity, unit, where)
    return partial(_load_converted, load, factor, summand), added


def _load_converted(
    load: Load, factor: float, summand: float, times: Index, rows: Index, columns: Index
) -> NDArray[np.float64]:
    return load(times, rows, columns) * factor + summand


def join(parts: Sequence[Field]) -> list[Field]:
    """Join the files of one quantity where they lie on one grid and count alike.

    Returns
    -------
    list of Field
        One if all do. Where several files tell the same time the first with data counts.
    """
    groups: list[list[Field]] = []
    for part in parts:
        alike = next((group for group in groups if group[0].counts_like(part)), None)
        if alike is None:
            groups.append([part])
        else:
            alike.append(part)
    return [_joined(group) for group in groups]


def _joined(parts: Sequence[Field]) -> Field:
    if len(parts) == 1:
        return parts[0]
    times = np.unique(np.concatenate([part.times for part in parts]))
    return replace(parts[0], times=times, load=partial(_load_joined, tuple(parts), times))


def _load_joined(
    parts: Sequence[Field], times: Times, wanted: Index, rows: Index, columns: Index
) -> NDArray[np.float64]:
    asked = times[wanted]
    values = np.full((asked.size, rows.size, columns.size), np.nan)
    for part in parts:
        place = np.searchsorted(part.times, asked).clip(max=part.times.size - 1)
        holes = (part.times[place] == asked) & np.isnan(values).any(axis=(1, 2))
        if holes.any():
            new = part.load(place[holes], rows, columns)
            values[holes] = np.where(np.isnan(values[holes]), new, values[holes])
    return values


def depth_of_snow(water: Field, density: Field) -> Field:
    """Depth in cm from water in kg/m² and density in kg/m³, at the times that both know.

    Raises
    ------
    SourceError
        Other cells, or no common time.
    """
    times = np.intersect1d(water.times, density.times)
    if not water.same_cells(density) or not times.size:
        raise SourceError(
            f"{water.where} and {density.where} have no common grid and time; give the snow depth itself"
        )
    return replace(water, times=times, load=partial(_load_depth, water, density, times))


def _load_depth(
    water: Field, density: Field, times: Times, wanted: Index, rows: Index, columns: Index
) -> NDArray[np.float64]:
    mass, weight = (
        part.load(np.searchsorted(part.times, times[wanted]), rows, columns) for part in (water, density)
    )
    depth = np.full(mass.shape, np.nan)
    np.divide(100 * mass, weight, out=depth, where=weight > 0)
    depth[mass == 0] = 0
    return depth


def as_slice(index: Index) -> slice | Index:
    """Make a slice of indices that are evenly spaced, since files are read faster so.

    Examples
    --------
    >>> as_slice(np.array([3, 5, 7])), as_slice(np.array([3, 4, 7]))
    (slice(3, 8, 2), array([3, 4, 7]))
    """
    steps = np.diff(index)
    if index.size == 0 or (steps.size and (steps[0] <= 0 or (steps != steps[0]).any())):
        return index
    return slice(int(index[0]), int(index[-1]) + 1, int(steps[0]) if steps.size else 1)


def by_runs(load: Callable[[slice, slice], NDArray[Any]], rows: Index, columns: Index) -> NDArray[np.float64]:
    """Read cells whose columns may jump (over Greenwich, or the antimeridian) without those between.

    Parameters
    ----------
    load : callable
        Gives values (time, y, x) of neighbouring rows and columns.
    rows : array of int
        Neighbouring rows.
    columns : array of int
        Runs of neighbouring columns.
    """
    runs = np.split(columns, np.flatnonzero(np.diff(columns) != 1) + 1)
    span = slice(int(rows[0]), int(rows[-1]) + 1)
    parts = [load(span, slice(int(run[0]), int(run[-1]) + 1)) for run in runs]
    return np.concatenate([np.asarray(part, np.float64) for part in parts], axis=-1)
