"""What plain differences expect: one earlier image, or the mean or median of several."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import xarray as xr

from terradelta.errors import InputError
from terradelta.expected.differences.choice import CHOICES, Choice, choose, is_descending
from terradelta.expected.differences.halo import HALO, by_block
from terradelta.expected.differences.radar import Cube, Time, acquisition_at, previous_images, radar_of
from terradelta.expected.preparation import Preparation, despeckle
from terradelta.expected.scene import SceneState, fit_scene_states, usual
from terradelta.sar import to_db
from terradelta.types import FloatArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BASELINES", "Baseline", "conventional"]

Baseline: TypeAlias = Literal["mean", "median"]
BASELINES: tuple[Baseline, ...] = ("mean", "median")
"""What needs no choice: the mean or the median of the previous images of the target's orbit."""

_FOR_CHOICE, _FOR_BASELINE = 4, 10
_LEAST_SIGMA = 0.1
_TILE, _TILES = 256, 4
_ASCENDING, _DESCENDING = 0.0, -180.0
_DAY = np.timedelta64(1, "D")


def conventional(
    cube: Cube,
    time: Time,
    *,
    choice: Choice | Baseline = "nearest-geometry",
    previous: int | None = None,
    same_orbit: bool = False,
    until: np.datetime64 | None = None,
    preparation: Preparation | None = None,
) -> xr.Dataset:
    """Expect of an image what an earlier one showed, or several on average.

    Parameters
    ----------
    cube : DataTree or Dataset
        The cube, or its group ``sar``; linear power, read lazily if it was opened so.
    time : str, datetime or datetime64
        The target: a day or a moment, or ``"last"``.
    choice : str
        One previous image by `terradelta.expected.differences.choice.choose`; or ``"mean"`` or
        ``"median"`` of those of the target's orbit.
    previous : int, optional
        How many previous images are looked at, the latest ones: 4 for a choice, 10 for mean and median.
    same_orbit : bool
        Choose only among images of the target's relative orbit (mean and median always do).
    until : datetime64, optional
        Choose only among images before this moment, UTC; by default before the target.
    preparation : Preparation, optional
        Steps before the comparison: despeckling, and the state of each scene taken off; none if left out.
        In scenes beyond 1024 x 1024 pixels that state is found from 16 tiles spread evenly.

    Returns
    -------
    Dataset
        ``expected`` (band, y, x), dB, with the state of the target's scene; ``sigma`` for mean and median
        of at least two images: standard deviation of the previous images, dB, at least 0.1; ``target``, if
        it was despeckled. Coordinate ``time`` is the target's; attributes name choice and previous images.

    Raises
    ------
    InputError
        If there is no such time, no previous image, or the geometry that the choice needs is unknown.

    Examples
    --------
    >>> import terradelta as td
    >>> cube = td.simulate.place(seed=0, size=32, years=0.3, changes=0)
    >>> seen = conventional(cube, "last", choice="mean")
    >>> sorted(seen.data_vars), seen.attrs["choice"]
    (['expected', 'sigma'], 'mean')
    """
    preparation = preparation or Preparation()
    radar = radar_of(cube)
    place = acquisition_at(radar, time)
    places = _places(radar, place, choice, previous, same_orbit, until)
    series = radar["backscatter"].isel(time=[*places, place])
    one = _Block(len(places), choice, preparation, _states(series, preparation))
    made = by_block(one, series.data, layers=one.layers(series.sizes["band"]), halo=one.halo)
    image = radar["backscatter"].isel(time=place)
    return _dataset(image, made, one, radar["time"].values[places])


def _places(
    radar: xr.Dataset,
    place: int,
    choice: Choice | Baseline,
    previous: int | None,
    same_orbit: bool,
    until: np.datetime64 | None,
) -> NDArray[np.intp]:
    """Choose which images the expected one is made of."""
    if choice in BASELINES:
        number = _FOR_BASELINE if previous is None else previous
        return previous_images(radar, place, number, same_orbit=True, until=until)
    if choice not in CHOICES:
        raise InputError(f"choice is {choice!r}; give one of {', '.join((*CHOICES, *BASELINES))}")
    number = _FOR_CHOICE if previous is None else previous
    some = previous_images(radar, place, number, same_orbit=same_orbit, until=until)
    both = [*some, place]
    age = (radar["time"].values[place] - radar["time"].values[some]) / _DAY
    if choice == "latest":
        return some[-1:]
    incidence = radar["incidence_angle"].values[both] if "incidence_angle" in radar.coords else np.nan
    found = choose(choice, np.broadcast_to(incidence, len(both)), _headings(radar, both), age=age)
    if found is None:
        raise InputError(
            f"none of the {len(some)} images before {str(radar['time'].values[place])[:19]} has its orbit "
            "direction; look at more with previous, or choose latest"
        )
    return some[found : found + 1]


def _headings(radar: xr.Dataset, places: list[int]) -> NDArray[np.float64]:
    """Give the headings; where one is unknown, all by direction only: scaled, that is the same."""
    nothing = np.full(len(places), np.nan)
    heading = (
        np.asarray(radar["heading"].values[places], np.float64) if "heading" in radar.coords else nothing
    )
    if np.isfinite(heading).all() or "orbit_direction" not in radar.coords:
        return heading
    way = radar["orbit_direction"].values[places].astype(str)
    known = np.isin(way, ("ascending", "descending"))
    if not known.all():
        rest = np.isfinite(heading)
        way[~known & rest] = np.where(is_descending(heading[~known & rest]), "descending", "ascending")
        known |= rest
    return np.where(known, np.where(way == "descending", _DESCENDING, _ASCENDING), np.nan)


@dataclass(frozen=True)
class _States:
    """How each scene of a series departs from the usual: by constants, or by a polynomial in the cover."""

    medians: FloatArray | None
    scenes: list[SceneState] | None
    degree: int

    def offsets(self, series: FloatArray) -> FloatArray:
        if self.scenes is None:
            return np.broadcast_to(np.asarray(self.medians), series.shape)
        mean, spread = usual(series[:-1])
        return np.stack([state.offset(mean, spread, self.degree) for state in self.scenes])

    def inflation(self) -> FloatArray | float:
        return 1.0 if self.scenes is None else self.scenes[-1].inflation[:, None, None]


@dataclass(frozen=True)
class _Block:
    """Makes the expected image of one block."""

    images: int
    choice: str
    preparation: Preparation
    states: _States | None

    @property
    def names(self) -> list[str]:
        return [
            "expected",
            *(["target"] if self.preparation.despeckle != "none" else []),
            *(["sigma"] if self.choice in BASELINES and self.images > 1 else []),
        ]

    @property
    def halo(self) -> int:
        return HALO if self.preparation.despeckle != "none" else 0

    def layers(self, bands: int) -> tuple[int, int]:
        return len(self.names), bands

    def __call__(self, linear: NDArray[Any]) -> NDArray[np.float32]:
        """Turn (time, band, y, x) linear power, target last, into (layer, band, y, x) dB."""
        series = _despeckled(linear, self.preparation)
        level = series[:-1]
        own: Any = np.float32(0)
        if self.states is not None:
            offsets = self.states.offsets(series)
            level, own = level - offsets[:-1], offsets[-1]
        made = {"expected": _middle(level, self.choice) + own, "target": series[-1]}
        if "sigma" in self.names:
            inflation = 1.0 if self.states is None else self.states.inflation()
            made["sigma"] = np.maximum(usual(level)[1], _LEAST_SIGMA) * inflation
        return np.stack([made[name] for name in self.names]).astype(np.float32, copy=False)


def _despeckled(linear: NDArray[Any], preparation: Preparation) -> FloatArray:
    return despeckle(to_db(linear.astype(np.float32, copy=False)), preparation)


def _middle(images: FloatArray, choice: str) -> FloatArray:
    if len(images) == 1:
        return np.asarray(images[0])
    if choice == "mean":
        mean, _ = usual(images)
        return mean
    empty = ~np.isfinite(images).any(axis=0)
    middle = np.nanmedian(np.where(empty, 0, images), axis=0)
    return np.asarray(np.where(empty, np.nan, middle), images.dtype)


def _states(series: xr.DataArray, preparation: Preparation) -> _States | None:
    """Find the state of every scene, from the whole of it or from tiles."""
    if preparation.state == "none":
        return None
    degree = preparation.robust.degree
    sample = np.concatenate([_tile(series, part, preparation) for part in _tiles(series)], axis=-1)
    if preparation.state == "scene" and len(sample) > 2:
        scenes = fit_scene_states(sample, len(sample) - 1, preparation.robust)
        return _States(None, scenes, degree)
    departure = sample - usual(sample[:-1])[0]
    known = np.isfinite(departure).any(axis=-1, keepdims=True)
    medians = np.nanmedian(np.where(known, departure, 0), axis=-1)
    return _States(medians.astype(np.float32)[..., None, None], None, degree)


def _tiles(series: xr.DataArray) -> list[tuple[slice, slice]]:
    rows, columns = (_starts(series.sizes[axis]) for axis in ("y", "x"))
    return [(row, column) for row in rows for column in columns]


def _starts(size: int) -> list[slice]:
    if size <= _TILE * _TILES:
        return [slice(0, size)]
    firsts = np.linspace(0, size - _TILE, _TILES).round().astype(int)
    return [slice(int(first), int(first) + _TILE) for first in firsts]


def _tile(series: xr.DataArray, part: tuple[slice, slice], preparation: Preparation) -> FloatArray:
    """Give (time, band, pixel) of a tile, despeckled with its margin, which is then cut off."""
    sizes = (series.sizes["y"], series.sizes["x"])
    grown = [
        slice(max(one.start - HALO, 0), min(one.stop + HALO, size))
        for one, size in zip(part, sizes, strict=True)
    ]
    values = _despeckled(series.isel(y=grown[0], x=grown[1]).to_numpy(), preparation)
    inner = [slice(one.start - g.start, one.stop - g.start) for one, g in zip(part, grown, strict=True)]
    cut = values[..., inner[0], inner[1]]
    return np.ascontiguousarray(cut.reshape(*cut.shape[:2], -1))


def _dataset(image: xr.DataArray, made: Any, block: _Block, times: NDArray[Any]) -> xr.Dataset:
    kept = [name for name in ("time", "band", "y", "x", "spatial_ref") if name in image.coords]
    coords = {name: image.coords[name].reset_coords(drop=True).variable for name in kept}
    layers = {
        name: (("band", "y", "x"), made[number], {"units": "dB", "grid_mapping": "spatial_ref"})
        for number, name in enumerate(block.names)
    }
    seen = xr.Dataset(layers, coords)
    seen.attrs = {
        "method": "conventional",
        "choice": block.choice,
        "preparation": json.dumps(block.preparation.to_dict()),
        "previous": [str(one)[:19] for one in times],
    }
    return seen
