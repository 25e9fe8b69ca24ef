"""Images over time on disk: a group whose arrays may be longer than what is committed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from terradelta.cube.arrays import open_array, write_grid, write_vector
from terradelta.cube.files import read_json, remove_tree, write_json
from terradelta.cube.layout import codec, layout_for
from terradelta.cube.schema import SERIES, TIME, TIME_ATTRIBUTES, Column, PixelVariable, SeriesSpec
from terradelta.cube.store import Header, group_document
from terradelta.errors import CubeError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Series", "open_series", "start_series"]

_COLUMN_CHUNK = 4096


@dataclass(frozen=True)
class Series:
    """A group of images over time, as far as it is committed.

    Attributes
    ----------
    header : Header
        The cube.
    name : str
        ``sar`` or ``optical``.
    committed : int
        Number of acquisitions that count; anything behind them is the rest of an interrupted run.
    bands : tuple of str
        Names of the bands.
    """

    header: Header
    name: str
    committed: int
    bands: tuple[str, ...]

    @property
    def spec(self) -> SeriesSpec:
        """What the group is made of."""
        return SERIES[self.name]

    @property
    def folder(self) -> Path:
        """Where the group lies."""
        return self.header.path / self.name

    def array(self, name: str, *, write: bool = False) -> zarr.Array[Any]:
        """Open one array of the group, as long as it is on disk."""
        return open_array(self.folder / name, write=write)

    def column_array(self, name: str) -> zarr.Array[Any]:
        """Open the array of a column for writing; one that came after the cube is made."""
        column = self.spec.column(name)
        if column.later and not self._holds(name):
            _make_column(self, column)
        return self.array(name, write=True)

    def _holds(self, name: str) -> bool:
        return (self.folder / name / "zarr.json").exists()

    def slot(self, variable: str, index: int) -> Path:
        """Tell the folder that holds all pixels of one time, and nothing else."""
        return self.folder / variable / "c" / str(index)

    def column(self, name: str) -> NDArray[Any]:
        """Read the committed values of a column (or of ``time``, as datetime64) in the order of storage."""
        column = self.spec.column(name)
        try:
            if column.later and not self._holds(name):
                return _filled(column, self.committed)
            values = np.asarray(self.array(name)[: self.committed])
        except (OSError, ValueError, RuntimeError) as error:
            raise CubeError(
                f"{self.folder / name} cannot be read ({error}); restore it from a copy"
            ) from None
        if len(values) < self.committed and not column.later:
            raise CubeError(
                f"{self.folder / name} holds {len(values)} of {self.committed} times; it is damaged"
            )
        if name == "time":
            return values.astype("datetime64[ns]")
        values = values.astype(object) if values.dtype.kind == "T" else values
        return np.concatenate([values, _filled(column, self.committed - len(values))])

    def commit(self, more: int) -> Series:
        """Count some acquisitions more: the single step that makes them part of the cube."""
        grown = replace(self, committed=self.committed + more)
        write_json(self.folder / "zarr.json", _document(grown))
        return grown


def open_series(header: Header, name: str) -> Series | None:
    """Open a group of images over time.

    Parameters
    ----------
    header : Header
        The cube.
    name : str
        ``sar`` or ``optical``.

    Returns
    -------
    Series or None
        None if nothing was committed to it yet.

    Raises
    ------
    CubeError
        If the group is damaged.
    """
    file = header.path / name / "zarr.json"
    if not file.exists():
        return None
    try:
        attributes = (read_json(file) or {})["attributes"]
        series = Series(header, name, int(attributes["committed"]), tuple(attributes["bands"]))
    except (KeyError, TypeError, ValueError):
        raise CubeError(
            f"{header.path / name} does not tell what is committed; restore its zarr.json"
        ) from None
    return series if series.committed else None


def start_series(header: Header, name: str, bands: tuple[str, ...]) -> Series:
    """Make the empty arrays of a group; the rest of an interrupted start is removed.

    Parameters
    ----------
    header : Header
        The cube.
    name : str
        ``sar`` or ``optical``.
    bands : tuple of str
        Names of the bands.

    Returns
    -------
    Series
        With nothing committed.
    """
    series = Series(header, name, 0, bands)
    remove_tree(series.folder)
    write_grid(series.folder, header.geobox)
    write_vector(series.folder / "band", np.array(bands, dtype=object), ("band",), {})
    for pixels in series.spec.pixels:
        _make_pixels(series, pixels)
    for column in (TIME, *series.spec.columns):
        _make_column(series, column)
    write_json(series.folder / "zarr.json", _document(series))
    return series


def _document(series: Series) -> dict[str, Any]:
    return group_document({"committed": series.committed, "bands": list(series.bands)})


def _make_pixels(series: Series, pixels: PixelVariable) -> None:
    size = series.header.size
    bands = (len(series.bands),) if pixels.banded else ()
    chunks, shards = layout_for(size).shapes(bands[0] if bands else None)
    shown = [column.name for column in series.spec.columns if not column.hidden]
    zarr.create_array(
        str(series.folder / pixels.name),
        shape=(0, *bands, *size),
        dtype=pixels.dtype,
        chunks=chunks,
        shards=shards,
        compressors=codec(),
        fill_value=pixels.fill,
        dimension_names=pixels.dims,
        attributes={
            "units": pixels.unit,
            "long_name": pixels.description,
            "grid_mapping": "spatial_ref",
            "coordinates": " ".join(shown),
        },
        overwrite=True,
    )


def _make_column(series: Series, column: Column) -> None:
    attributes = TIME_ATTRIBUTES if column is TIME else {"units": column.unit} if column.unit else {}
    zarr.create_array(
        str(series.folder / column.name),
        shape=(0,),
        dtype=str if column.dtype == "str" else column.dtype,
        chunks=(_COLUMN_CHUNK,),
        fill_value=column.fill,
        dimension_names=("time",),
        attributes=dict(attributes),
        overwrite=True,
    )


def _filled(column: Column, count: int) -> NDArray[Any]:
    return np.full(count, column.fill, dtype=object if column.dtype == "str" else column.dtype)
