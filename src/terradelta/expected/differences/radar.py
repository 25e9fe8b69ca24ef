"""The radar images of a cube: one acquisition by its time, and the earlier ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xarray as xr

from terradelta.errors import CubeError, InputError
from terradelta.sar import to_db

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cube", "Time", "acquisition_at", "decibel", "previous_images", "radar_of"]

Cube: TypeAlias = xr.DataTree | xr.Dataset
"""An open cube, or its ``sar`` group."""

Time: TypeAlias = str | datetime | np.datetime64
"""ISO text (a day, or down to any unit), or ``"last"``."""

_SHOWN = 5


def radar_of(cube: Cube) -> xr.Dataset:
    """Give the radar images of a cube.

    Parameters
    ----------
    cube : DataTree or Dataset
        From `open_cube`, or its group ``sar``.

    Returns
    -------
    Dataset
        With ``backscatter`` (time, band, y, x), linear power.

    Raises
    ------
    CubeError
        If there is none.
    """
    if isinstance(cube, xr.DataTree):
        radar = cube["sar"].to_dataset() if "sar" in cube.children else xr.Dataset()
    else:
        radar = cube
    if "backscatter" not in radar or not radar.sizes.get("time", 0):
        raise CubeError("the cube holds no radar images; add some with `terradelta cube import`")
    return radar


def acquisition_at(radar: xr.Dataset, time: Time) -> int:
    """Find one acquisition by its time.

    Parameters
    ----------
    radar : Dataset
        With a coordinate ``time``, sorted.
    time : str, datetime or datetime64
        A day, or a moment as exactly as need be to name one; ``"last"``.

    Returns
    -------
    int
        Its place.

    Raises
    ------
    InputError
        If none or several fit.

    Examples
    --------
    >>> times = np.array(["2020-08-01T17:30", "2020-08-07T05:12"], "datetime64[ns]")
    >>> acquisition_at(xr.Dataset(coords={"time": times}), "2020-08-07")
    1
    """
    times = radar["time"].values
    if isinstance(time, str) and time == "last":
        return len(times) - 1
    wanted = _moment(time)
    found = np.flatnonzero(times.astype(wanted.dtype) == wanted)
    if len(found) == 1:
        return int(found[0])
    if len(found):
        several = ", ".join(str(one)[:19] for one in times[found[:_SHOWN]])
        raise InputError(f"{len(found)} images were taken at {time} ({several}); name one by its time")
    near = times[np.argsort(np.abs(times - wanted.astype(times.dtype)))[:2]]
    named = " and ".join(str(one)[:19] for one in np.sort(near))
    raise InputError(f"no image was taken at {time}; choose another time, the nearest are {named}")


def _moment(time: Time) -> np.datetime64:
    try:
        if isinstance(time, str):
            text = time.strip()
            if text.endswith("Z") or "+" in text:
                time = datetime.fromisoformat(text)
        if isinstance(time, datetime) and time.tzinfo is not None:
            time = time.astimezone(UTC).replace(tzinfo=None)
        moment = np.datetime64(time)
    except (TypeError, ValueError):
        raise InputError(f"{time!r} is no time; give ISO text such as 2020-08-01, or last") from None
    if np.isnat(moment):
        raise InputError(f"{time!r} is no time; give ISO text such as 2020-08-01, or last")
    return moment


def previous_images(
    radar: xr.Dataset, place: int, number: int, *, same_orbit: bool, until: np.datetime64 | None = None
) -> NDArray[np.intp]:
    """Give the places of the images before one.

    Parameters
    ----------
    radar : Dataset
        With ``time`` sorted and ``relative_orbit``, ``orbit_direction`` per time.
    place : int
        Of the target.
    number : int
        At most so many, the latest ones.
    same_orbit : bool
        Only those of the target's relative orbit and direction.
    until : datetime64, optional
        Only those before this moment; by default before the target.

    Returns
    -------
    ndarray of int
        Oldest first.

    Raises
    ------
    InputError
        If there is none, or `number` is below 1.
    """
    if number < 1:
        raise InputError(f"previous is {number}; give at least 1 image")
    times = radar["time"].values
    use = times < (times[place] if until is None else min(until, times[place]))
    if same_orbit:
        for name in ("relative_orbit", "orbit_direction"):
            if name in radar.coords:
                use &= radar[name].values == radar[name].values[place]
    found = np.flatnonzero(use)[-number:]
    if not found.size:
        what = "of its orbit " if same_orbit else ""
        raise InputError(
            f"there is no image {what}before {str(times[place])[:19]}; "
            "choose a later target or add acquisitions"
        )
    return found


def decibel(image: xr.DataArray) -> xr.DataArray:
    """Turn an image of a cube into dB, as lazily as it came.

    Parameters
    ----------
    image : DataArray
        Linear power; zero or less is no data.

    Returns
    -------
    DataArray
        float32, dB, NaN = no data.
    """
    made: Any = xr.apply_ufunc(_to_db, image, dask="parallelized", output_dtypes=[np.float32])
    return made.assign_attrs(units="dB")  # type: ignore[no-any-return]


def _to_db(values: NDArray[Any]) -> NDArray[Any]:
    return to_db(values.astype(np.float32, copy=False))
