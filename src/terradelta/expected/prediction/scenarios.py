"""What would have been expected under other conditions: from the other side, dry, or in rain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import xarray as xr

from terradelta.errors import ConfigError, InputError
from terradelta.expected.conditions import with_geometry, with_rain
from terradelta.expected.differences.choice import is_descending
from terradelta.expected.model import ExpectedImage
from terradelta.expected.prediction.acquisitions import Chosen, choose_images
from terradelta.expected.prediction.reader import Change
from terradelta.expected.prediction.run import predict, same_orbit_of
from terradelta.expected.samples.cube_images import CubeImages, Grid
from terradelta.types import PathType

__all__ = ["CASES", "HEAVY_RAIN", "Case", "Scenario", "cases_of", "require_told", "what_if"]

Case: TypeAlias = Literal["direction", "dry", "rain"]
CASES: tuple[Case, ...] = get_args(Case)
"""What can be changed: the orbit direction, no rain, heavy rain."""

HEAVY_RAIN = 20.0
"""Millimetres on the day of the image."""

_NEEDS = {
    "direction": ("orbit_direction", "incidence"),
    "dry": ("precipitation",),
    "rain": ("precipitation",),
}


@dataclass(frozen=True)
class Scenario:
    """Changed conditions of the target.

    Attributes
    ----------
    name : str
        Of `CASES`.
    title : str
        What is changed, in a few words with numbers.
    change : callable
        Makes the changed conditions.
    """

    name: str
    title: str
    change: Change


def cases_of(changes: str | Sequence[str]) -> tuple[Case, ...]:
    """Read which changes are asked for.

    Parameters
    ----------
    changes : str or sequence of str
        Of `CASES`, or ``"all"``.

    Returns
    -------
    tuple of str
        In the order of `CASES`.

    Raises
    ------
    ConfigError
        If one is unknown, or there is none.

    Examples
    --------
    >>> cases_of("all"), cases_of(["rain"])
    (('direction', 'dry', 'rain'), ('rain',))
    """
    names = [changes] if isinstance(changes, str) else list(changes)
    for name in names:
        if name not in (*CASES, "all"):
            raise ConfigError(f"what-if is {name!r}; give {', '.join(CASES)} or all")
    if not names:
        raise ConfigError(f"what-if names nothing; give {', '.join(CASES)} or all")
    return CASES if "all" in names else tuple(case for case in CASES if case in names)


def what_if(
    model: ExpectedImage,
    cube: xr.DataTree | PathType,
    time: Any = "last",
    changes: str | Sequence[str] = "all",
    *,
    rain: float = HEAVY_RAIN,
    original: xr.Dataset | None = None,
    store: PathType | None = None,
    **more: Any,
) -> xr.Dataset:
    """Expect an acquisition under its own and under changed conditions.

    Parameters
    ----------
    model : ExpectedImage
        A trained network that is told what is changed.
    cube : DataTree or path
        The place.
    time : str or datetime64
        As for `predict`.
    changes : str or sequence of str
        ``"direction"``: heading and incidence of the cube's nearest image in time of the other orbit
        direction; without any, the mirrored heading. ``"dry"``: no precipitation on the day and the three
        before. ``"rain"``: heavy rain on the day. Or ``"all"``.
    rain : float
        Millimetres of heavy rain.
    original : Dataset, optional
        What `predict` gave under the real conditions, if that is there already.
    store : path, optional
        Folder for a Zarr per case.
    **more
        As for `predict`.

    Returns
    -------
    Dataset
        ``expected`` (case, band, y, x), dB, the first case ``"original"``; ``difference`` (case, band, y, x),
        dB, to the original. The coordinate ``title`` says what each case is.

    Raises
    ------
    InputError
        If the network is not told what should be changed.
    ConfigError
        If a change is unknown.
    CubeError, ConflictError
        As `predict`.

    References
    ----------
    J. Alatalo, T. Sipola, M. Rantonen, Improved Difference Images for Change Detection Classifiers in SAR
    Imagery Using Deep Learning, IEEE TGRS 61, 5218714, 2023, figure 6.
    """
    cases = cases_of(changes)
    require_told(model, cases)
    scenarios = _scenarios(model, cube, time, cases, rain, same_orbit_of(model, more.get("same_orbit")))
    run = partial(predict, model, cube, time, **more)
    found = [run(store=_place(store, "original")) if original is None else original]
    found += [run(conditions=one.change, store=_place(store, one.name)) for one in scenarios]
    expected = xr.concat(
        [one["expected"] for one in found], "case", coords="minimal", compat="override"
    ).assign_coords(
        case=["original", *(one.name for one in scenarios)],
        title=("case", [_own(found[0]), *(one.title for one in scenarios)]),
    )
    result = xr.Dataset({"expected": expected, "difference": expected - expected.isel(case=0, drop=True)})
    for name, title in (("expected", "expected backscatter"), ("difference", "difference to the original")):
        result[name].attrs = {"units": "dB", "long_name": title}
        result[name].encoding["grid_mapping"] = "spatial_ref"
    return result.assign_attrs(found[0].attrs)


def _place(store: PathType | None, name: str) -> Path | None:
    return None if store is None else Path(store) / f"{name}.zarr"


def _own(seen: xr.Dataset) -> str:
    return f"as it was on {str(seen['time'].values)[:10]}"


def require_told(model: ExpectedImage, cases: Sequence[Case]) -> None:
    """Refuse to change what a model is not told.

    Raises
    ------
    InputError
        By name.
    """
    network: Any = model.network
    for case in cases:
        if not any(group in network.requires for group in _NEEDS[case]):
            told = ", ".join(sorted(network.requires)) or "no conditions"
            raise InputError(
                f"what-if {case}: the model is not told {' or '.join(_NEEDS[case])} (only {told}), "
                "so nothing would change; use a model trained with it"
            )


def _scenarios(
    model: ExpectedImage,
    cube: xr.DataTree | PathType,
    time: Any,
    cases: Sequence[Case],
    rain: float,
    same_orbit: bool,
) -> list[Scenario]:
    if not (np.isfinite(rain) and rain > 0):
        raise ConfigError(f"rain is {rain:g} mm; give a positive amount")
    images = CubeImages(cube)
    chosen = choose_images(images, time, model.previous, same_orbit=same_orbit)
    makers: Mapping[str, Callable[[], Scenario]] = {
        "direction": lambda: _other_direction(images, chosen),
        "dry": lambda: Scenario(
            "dry", "no rain on the day and the three before", partial(with_rain, days=0.0)
        ),
        "rain": lambda: Scenario("rain", f"{rain:g} mm of rain on the day", partial(with_rain, today=rain)),
    }
    return [makers[case]() for case in cases]


def _other_direction(images: CubeImages, chosen: Chosen) -> Scenario:
    """Look from the other side: as the nearest image in time does, or mirrored."""
    every = images.conditions(range(len(images.times)), Grid(0, 0, 1))
    target = chosen.places[-1]
    heading = float(every.heading[target])
    if not np.isfinite(heading):
        raise InputError("what-if direction: the heading of the image is unknown; add it to the cube")
    incidence = float(every.incidence[target])
    known = np.flatnonzero(np.isfinite(every.heading))
    other = known[is_descending(every.heading[known]) != is_descending(heading)]
    seen = "mirrored"
    if other.size:
        nearest = other[np.argmin(np.abs(images.times[other] - images.times[target]))]
        heading, incidence = float(every.heading[nearest]), float(every.incidence[nearest])
        seen = f"as on {str(images.times[nearest])[:10]}"
    else:
        heading = (-heading) % 360 - 180
    way = "descending" if is_descending(heading) else "ascending"
    title = f"{way}, {seen}: heading {heading:.0f}°, incidence {incidence:.1f}°"
    return Scenario("direction", title, partial(with_geometry, heading=heading, incidence=incidence))
