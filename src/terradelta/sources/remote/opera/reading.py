"""Pixels of one pass: its bursts, read by ranges of bytes from the archive, as one mosaic."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.sources.describe import describe
from terradelta.sources.reading import read_measurement
from terradelta.sources.remote.discretion import keep_secrets_out_of_logs
from terradelta.sources.remote.offers import Images
from terradelta.sources.remote.opening import open_raster, remote_reading
from terradelta.sources.remote.opera.bursts import Burst
from terradelta.sources.remote.opera.credentials import Login
from terradelta.sources.remote.retrying import PATIENCE, Patience, retried
from terradelta.sources.sidecar import FileSettings

__all__ = ["PassReader", "meets"]

_MARGIN = 0.005
_NO_TRACES = {"GDAL_HTTP_COOKIEFILE": None, "GDAL_HTTP_COOKIEJAR": None, "GDAL_HTTP_NETRC": "NO"}


@dataclass(frozen=True)
class PassReader:
    """Reads one pass onto a grid; where bursts overlap, the one that was taken first wins.

    The login is Python's own: it follows the redirections of the archive and hands GDAL the place where the
    file lies, so that no credential comes into a file or a setting of GDAL.

    Parameters
    ----------
    bursts : tuple of Burst
        In the order of the mosaic.
    bands : tuple of str
        VV, VH, ...
    login : Login
        Where to log in.
    patience : Patience
        How often and how long to try.
    """

    bursts: tuple[Burst, ...]
    bands: tuple[str, ...]
    login: Login = field(default_factory=Login)
    patience: Patience = PATIENCE

    def __call__(self, grid: GeoBox) -> Images:
        """Give the pixels (band, y, x) as linear power; NaN where there is no data.

        Raises
        ------
        AccessError
            Credentials are missing or wrong.
        UnavailableError
            The archive does not answer, or not with the whole of it.
        SourceError
            A file that is not there, or no burst.
        """
        near = [burst for burst in self.bursts if meets(burst.footprint, grid)]
        return Images(np.stack([self._band(near, band, grid) for band in self.bands]))

    def _band(self, bursts: list[Burst], band: str, grid: GeoBox) -> NDArray[np.float32]:
        result = np.full(grid.shape, np.nan, dtype=np.float32)
        for burst in bursts:
            holes = np.isnan(result)
            if not holes.any():
                break
            result[holes] = self._file(burst.files[band], grid)[holes]
        return result

    def _file(self, address: str, grid: GeoBox) -> NDArray[np.float32]:
        return retried(partial(self._once, address, grid), self.patience)

    def _once(self, address: str, grid: GeoBox) -> NDArray[np.float32]:
        from terradelta.sources.remote.opera.session import locate

        keep_secrets_out_of_logs()
        place = locate(address, self.login)
        name = address.rpartition("/")[2]
        headers = "\r\n".join(f"{key}: {value}" for key, value in place.headers.items()) or None
        with (
            remote_reading(**_NO_TRACES, GDAL_HTTP_HEADERS=headers),
            open_raster(place.address, name, access=f"check the login at {self.login.address}") as raster,
        ):
            (layer,) = describe([raster.raw], FileSettings())
            return read_measurement(layer, grid, read=raster.window)


def meets(footprint: Any, grid: GeoBox) -> bool:
    """Whether an outline in longitude and latitude comes near a grid; across the antimeridian all do.

    Catalogues round outlines to 0.001 degrees and draw curved edges straight, so that some room is left.
    """
    around = _surroundings(grid)
    across = any(shape.bounds[2] - shape.bounds[0] > 180 for shape in (footprint, around))
    return across or bool(footprint.intersects(around))


@lru_cache(maxsize=64)
def _surroundings(grid: GeoBox) -> Any:
    return grid.geographic_extent.geom.buffer(_MARGIN)
