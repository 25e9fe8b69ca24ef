"""What the forest of a sample shall look like after a change, and where its forest is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from terradelta.errors import InputError
from terradelta.sar.decibel import to_db

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from terradelta.expected.samples.sample import Sample
    from terradelta.land import LandSource
    from terradelta.types import BoolArray, FloatArray

__all__ = ["OWN", "KnownLand", "Wanted"]

OWN = "pixels outside the forest of the sample itself"
"""Where pixels are from if no land is given."""

_SIDE = 3000.0


class Wanted(NamedTuple):
    """What forest shall look like.

    Attributes
    ----------
    pixels : array (band, n) or None
        dB.
    origin : str
        Where they are from.
    why : str
        Why there are none; "" if there are some, or none is needed.
    """

    pixels: FloatArray | None = None
    origin: str = ""
    why: str = ""


class KnownLand(NamedTuple):
    """What is known beside a sample itself.

    Attributes
    ----------
    source : LandSource or None
        Forest and open areas.
    pixels : array (band, n) or None
        dB; what forest shall look like, in place of open areas.
    areas : int
        How many open areas.
    """

    source: LandSource | None
    pixels: FloatArray | None
    areas: int

    def forest(self, sample: Sample, grid: GeoBox | None) -> BoolArray:
        """Tell where a sample may change.

        Parameters
        ----------
        sample : Sample
            With a forest mask, unless the land has one.
        grid : GeoBox or None
            Its grid; by default a square of 3 km around its place.

        Returns
        -------
        array of bool, (y, x)
            Forest with data in all bands.

        Raises
        ------
        InputError
            No forest is known.
        """
        valid = np.isfinite(sample.target).all(axis=0)
        if sample.forest is not None:
            return np.asarray((sample.forest == 1) & valid)
        if self.source is None:
            raise InputError(
                f"sample {sample.name} has no forest mask; give land (terradelta.land) that knows the "
                "forest, or draw the samples from a cube with the layer forest"
            )
        return np.asarray(self.source.forest(grid or _square(sample)) & valid)

    def target(self, sample: Sample, forest: BoolArray) -> Wanted:
        """Give the pixels that forest shall look like.

        Parameters
        ----------
        sample : Sample
            Its target is the acquisition that counts.
        forest : array of bool, (y, x)
            Where it may change.

        Returns
        -------
        Wanted

        Raises
        ------
        InputError
            The land has no open areas, or the sample no place or time to ask it for.
        """
        if self.pixels is not None:
            return Wanted(np.asarray(self.pixels), "given pixels")
        if self.source is None:
            other = ~forest & np.isfinite(sample.target).all(axis=0)
            if sample.forest is not None:
                other &= sample.forest == 0
            if not other.any():
                return Wanted(why="all is forest, and no land tells what it shall look like")
            return Wanted(sample.target[:, other], OWN)
        return self._open_land(sample, self.source)

    def _open_land(self, sample: Sample, source: LandSource) -> Wanted:
        from pyproj import Transformer

        from terradelta.land import Acquisition

        if sample.location is None or sample.time is None:
            missing = "place" if sample.location is None else "time"
            raise InputError(
                f"sample {sample.name} has no {missing}, so no land is near it; give target instead"
            )
        degrees = Transformer.from_crs("EPSG:4326", source.crs, always_xy=True)
        x, y = degrees.transform(sample.location[1], sample.location[0])
        areas = source.nearest(x, y, self.areas)
        time = np.datetime_as_string(sample.time.astype("datetime64[ns]"))
        linear = source.pixels(areas, Acquisition(time, sample.conditions.platform[-1]))
        decibel = to_db(linear)
        decibel = decibel[:, np.isfinite(decibel).all(axis=0)]
        if not decibel.size:
            return Wanted(why="the radar image shows no pixel of the nearest open areas")
        return Wanted(decibel, f"{len(areas.geometries)} nearest open areas")


def _square(sample: Sample) -> GeoBox:
    """Lay the square that a published sample shows around its middle, in its UTM zone."""
    from affine import Affine
    from odc.geo.geobox import GeoBox
    from pyproj import Transformer

    if sample.location is None:
        raise InputError(f"sample {sample.name} has neither a forest mask nor a place; give grid")
    latitude, longitude = sample.location
    zone = min(int((longitude + 180) // 6) + 1, 60)
    crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
    step = _SIDE / sample.size
    affine = Affine(step, 0, x - _SIDE / 2, 0, -step, y + _SIDE / 2)
    return GeoBox((sample.size, sample.size), affine, crs)
