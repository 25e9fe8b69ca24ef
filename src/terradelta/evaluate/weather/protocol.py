"""What the experiment fixes: the site, the dates to learn from and to judge, and the weather that counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from terradelta.cube import open_cube
from terradelta.errors import SourceError
from terradelta.evaluate.sites import SITE, TRACKS
from terradelta.expected.conditions import Conditions
from terradelta.expected.parameters import RobustParameters
from terradelta.expected.samples.cube_images import CubeImages, Grid
from terradelta.sar import despeckle_tv
from terradelta.sources import build_cube
from terradelta.types import FloatArray

__all__ = ["Track", "WeatherProtocol", "load_tracks"]

_PATTERN = "[SA][1g]*"  # S1_... and AgERA5_...


@dataclass(frozen=True)
class WeatherProtocol:
    """The fixed choices of the experiment.

    Attributes
    ----------
    site : str
        Folder of the site.
    split : str
        Images before this day are learnt from, later ones judged.
    events : mapping
        Weather that is judged by itself: name to days. No network ever sees these images in training.
    history : int
        Previous images of the same track.
    discs : int
        Discs per target.
    radius : tuple of float
        Smallest and largest radius, pixels.
    decibel : float
        Change within the discs, both bands.
    false_alarms : float
        Share of pixels of the judged images without event that may exceed the threshold, per track.
    """

    site: str = SITE
    split: str = "2018-08-01"
    events: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"wet snow": ("2017-12-11",), "frost": ("2018-02-26", "2018-02-27")}
    )
    history: int = 4
    discs: int = 2
    radius: tuple[float, float] = (3, 5)
    decibel: float = -2.5
    false_alarms: float = 0.01

    @property
    def event_days(self) -> dict[str, str]:
        """Name of the event by day."""
        return {day: name for name, days in self.events.items() for day in days}


@dataclass(frozen=True)
class Track:
    """All images of one track, in the order of time.

    Attributes
    ----------
    orbit : int
        Relative orbit.
    days : tuple of str
        YYYY-MM-DD.
    decibel, smooth : ndarray
        (time, band, y, x), dB, as observed and despeckled.
    conditions : Conditions
        One per image.
    """

    orbit: int
    days: tuple[str, ...]
    decibel: FloatArray
    smooth: FloatArray
    conditions: Conditions


def load_tracks(data: Path, protocol: WeatherProtocol) -> list[Track]:
    """Read radar and weather of the site.

    Parameters
    ----------
    data : pathlib.Path
        Folder of the site, or the one above it.
    protocol : WeatherProtocol
        Which site.

    Returns
    -------
    list of Track
        By relative orbit.

    Raises
    ------
    SourceError
        If the files are not there or cannot be read.
    """
    folders = [folder for folder in (data, data / protocol.site) if any(folder.glob("S1_*.nc"))]
    if not folders or not any(folders[0].glob("AgERA5_*.nc")):
        raise SourceError(
            f"{data} holds no S1_*.nc with AgERA5_*.nc; give the folder of the WorldCereal site with --data"
        )
    with TemporaryDirectory(prefix="terradelta-") as temporary:
        path = Path(temporary) / "site.zarr"
        build_cube(folders[0], path, pattern=_PATTERN, sidecar=TRACKS)
        cube = open_cube(path)
        images = CubeImages(path)
        orbits = np.asarray(cube["sar"]["relative_orbit"].values)
        return [_track(images, np.flatnonzero(orbits == orbit), int(orbit)) for orbit in np.unique(orbits)]


def _track(images: CubeImages, places: Any, orbit: int) -> Track:
    numbers = [int(place) for place in places]
    grid = Grid(0, 0, images.size[0])
    decibel = images.decibel(numbers, grid)
    usual = RobustParameters()
    return Track(
        orbit,
        tuple(str(np.datetime_as_string(images.times[number], "D")) for number in numbers),
        decibel,
        despeckle_tv(decibel, usual.tv_weight, iterations=usual.tv_iterations),
        images.conditions(numbers, grid),
    )
