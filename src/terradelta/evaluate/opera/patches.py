"""The patches of the experiment, read from a folder of OPERA RTC-S1 series."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from terradelta.cube import SarAcquisition
from terradelta.errors import SourceError
from terradelta.expected import RobustParameters
from terradelta.sar import despeckle_tv, to_db
from terradelta.sources import scan
from terradelta.types import BoolArray, FloatArray, Size

__all__ = ["Patch", "load_patch"]


@dataclass(frozen=True)
class Patch:
    """A series of radar images of one place and one orbit, in memory.

    Attributes
    ----------
    name : str
        Of the burst.
    days : tuple of str
        Dates, YYYY-MM-DD, in order.
    bands : tuple of str
        VV, VH.
    linear : ndarray
        (time, band, y, x) float32, linear power; NaN is no data.
    wet : tuple of str or None
        Dates after rain of this place; None: those of the protocol.
    rain : str or None
        Its wet target, likewise.
    allowed : ndarray of bool or None
        (y, x), where discs may lie; None: everywhere.
    changed : ndarray of bool or None
        (y, x), the large change where it is known; None: it is found from the images.
    """

    name: str
    days: tuple[str, ...]
    bands: tuple[str, ...]
    linear: FloatArray
    wet: tuple[str, ...] | None = None
    rain: str | None = None
    allowed: BoolArray | None = None
    changed: BoolArray | None = None

    @cached_property
    def decibel(self) -> FloatArray:
        """The series in dB, (time, band, y, x)."""
        return to_db(self.linear)

    @cached_property
    def smooth(self) -> FloatArray:
        """The series in dB, despeckled as by default, (time, band, y, x)."""
        usual = RobustParameters()
        return despeckle_tv(self.decibel, usual.tv_weight, iterations=usual.tv_iterations)

    @property
    def size(self) -> Size:
        """Rows and columns."""
        return Size(*self.linear.shape[-2:])


def load_patch(data: Path, name: str, dates: int) -> Patch:
    """Read all dates of one patch.

    Parameters
    ----------
    data : pathlib.Path
        Folder with ``<name>_VV.tif`` and ``<name>_VH.tif``, dates as raster bands. Exact zeros are no data.
    name : str
        Burst.
    dates : int
        How many acquisitions there must be.

    Returns
    -------
    Patch
        In the order of time.

    Raises
    ------
    SourceError
        If files are missing or cannot be read, or the number of dates or the bands are not as expected.
    """
    planned = scan(data, pattern=f"{name}_*.tif")
    radar = [image for image in planned.acquisitions() if isinstance(image, SarAcquisition)]
    bands = radar[0].bands if radar else ()
    if len(radar) != dates or not {"VV", "VH"} <= set(bands):
        raise SourceError(
            f"{data}: {name} has {len(radar)} dates of {', '.join(bands) or 'no band'}; the experiment needs "
            f"{dates} dates of VV, VH: give the folder with its complete series"
        )
    return Patch(
        name,
        tuple(str(np.datetime_as_string(image.time, "D")) for image in radar),
        tuple(bands),
        np.stack([np.asarray(image.backscatter, np.float32) for image in radar]),
    )
