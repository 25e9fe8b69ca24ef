"""Which image of a cube is to be expected, and which ones before it that is done from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from terradelta.errors import CubeError
from terradelta.expected.differences.radar import Time, acquisition_at
from terradelta.expected.samples.cube_images import Acquired, CubeImages

__all__ = ["Chosen", "choose_images"]


@dataclass(frozen=True)
class Chosen:
    """Images that a prediction is made from.

    Attributes
    ----------
    places : tuple of int
        Where they lie in the order of time: previous images, oldest first, and last the target.
    acquired : tuple of Acquired
        Moment, platform and orbit of each.
    """

    places: tuple[int, ...]
    acquired: tuple[Acquired, ...]

    @property
    def time(self) -> np.datetime64:
        """Moment of the target, UTC."""
        return np.datetime64(self.acquired[-1].time, "ns")

    @property
    def previous(self) -> tuple[str, ...]:
        """Moments of the previous images, ISO text to the second."""
        return tuple(image.time[:19] for image in self.acquired[:-1])


def choose_images(
    images: CubeImages,
    time: Time,
    previous: int,
    *,
    same_orbit: bool = False,
    until: np.datetime64 | None = None,
) -> Chosen:
    """Choose a target and the images before it, as samples for training are chosen.

    Parameters
    ----------
    images : CubeImages
        The cube.
    time : str, datetime or datetime64
        A day, a moment, or ``"last"``; see `terradelta.expected.differences.radar.acquisition_at`.
    previous : int
        How many previous images.
    same_orbit : bool
        Only those of the target's relative orbit.
    until : datetime64, optional
        Only those before this moment; by default before the target.

    Returns
    -------
    Chosen
        The images.

    Raises
    ------
    CubeError
        If there are too few.
    InputError
        If that date has no image, or several.
    """
    target = acquisition_at(xr.Dataset(coords={"time": images.times}), time)
    moment = images.times[target]
    before = np.flatnonzero(images.times < (moment if until is None else min(until, moment)))
    where = ""
    if same_orbit:
        before = before[images.orbits[before] == images.orbits[target]]
        where = f" of orbit {int(images.orbits[target])}"
    if len(before) < previous:
        count = f"{len(before)} image{'' if len(before) == 1 else 's'}"
        raise CubeError(
            f"{str(images.times[target])[:10]} has {count}{where} before it, the model needs {previous}; "
            "choose a later date or add earlier images to the cube"
        )
    places = (*before[len(before) - previous :].tolist(), target)
    return Chosen(places, tuple(images.acquired(place) for place in places))
