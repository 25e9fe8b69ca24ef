"""The conditions under which rasters of other machines are opened: few requests, limits, no traces left."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from terradelta.errors import SourceError
from terradelta.sources.grids import tidy_crs
from terradelta.sources.layers import Layer, RawLayer
from terradelta.sources.remote.retrying import BusyError, error_for

__all__ = ["RemoteRaster", "gdal_name", "open_raster", "remote_reading"]

_DEFAULTS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    "GDAL_HTTP_LOW_SPEED_TIME": 60,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2",
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/:/vsis3/",
    "CPL_VSIL_CURL_USE_HEAD": "NO",
    "VSI_CACHE": "FALSE",
}


@contextmanager
def remote_reading(**options: Any) -> Iterator[None]:
    """Open and read rasters of other machines inside this block, in the thread that enters it.

    No folder is listed, nothing of a failed answer is remembered (so that trying again really asks again),
    cookies go into a temporary folder. GDAL reads secrets itself: `~/.netrc`, or the environment variables
    ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``GDAL_HTTP_HEADER_FILE``, ``GDAL_HTTP_BEARER``.

    Parameters
    ----------
    **options
        Further options of GDAL, or other values for those set here: ``AWS_S3_ENDPOINT``,
        ``AWS_REQUEST_PAYER``, ``GDAL_HTTP_TIMEOUT`` in seconds. None takes an option away. What the
        environment already says about time limits and S3 is stronger.

    Examples
    --------
    >>> from rasterio.env import getenv
    >>> with remote_reading(GDAL_HTTP_TIMEOUT=5):
    ...     getenv()["GDAL_HTTP_TIMEOUT"]
    5
    """
    settings = _DEFAULTS | _cookies() | options
    with rasterio.Env(
        **{key: value for key, value in settings.items() if value is not None and key not in os.environ}
    ):
        yield


@cache
def _cookies() -> dict[str, str]:
    """Give a place for cookies that goes with the process."""
    folder = tempfile.mkdtemp(prefix="terradelta-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = str(Path(folder) / "cookies")
    return {"GDAL_HTTP_COOKIEFILE": file, "GDAL_HTTP_COOKIEJAR": file}


def gdal_name(address: str) -> str:
    """Name under which GDAL opens an address.

    Examples
    --------
    >>> gdal_name("https://example.org/a.tif"), gdal_name("s3://bucket/a.tif"), gdal_name("/data/a.tif")
    ('/vsicurl/https://example.org/a.tif', '/vsis3/bucket/a.tif', '/data/a.tif')
    """
    scheme, _, rest = address.partition("://")
    if scheme in ("http", "https"):
        return f"/vsicurl/{address}"
    return f"/vsi{scheme}/{rest}" if scheme in ("s3", "gs", "az") else address.removeprefix("file://")


@dataclass(frozen=True)
class RemoteRaster:
    """One band of an open raster.

    Attributes
    ----------
    raw : RawLayer
        What its header says; its path is the bare name.
    """

    raw: RawLayer
    _dataset: Any

    def window(self, layer: Layer, rows: slice, columns: slice) -> NDArray[Any]:
        """Read stored numbers (y, x); the `read` of :func:`terradelta.sources.reading.read_measurement`."""
        place = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        values: NDArray[Any] = self._dataset.read(layer.raw.key, window=place)
        return values


@contextmanager
def open_raster(address: str, name: str = "", *, band: int = 1, access: str = "") -> Iterator[RemoteRaster]:
    """Open a raster of another machine, inside :func:`remote_reading`; pixels are read inside the block.

    Parameters
    ----------
    address : str
        https://, s3:// or a path; it may hold a secret after "?".
    name : str
        Name for messages; by default the last part of the address.
    band : int
        Number of the raster band.
    access : str
        What to do where credentials are missing or wrong.

    Raises
    ------
    UnavailableError
        The server answers 429 or 5xx, too slowly, or with less than the whole.
    AccessError
        It answers 401 or 403.
    SourceError
        There is nothing, or no georeferenced raster.
    """
    name = name or address.partition("?")[0].rpartition("/")[2]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(gdal_name(address)) as dataset:
                yield RemoteRaster(_header(dataset, name, band), dataset)
    except RasterioError as error:
        raise _explained(error, name, access) from None


def _header(dataset: Any, name: str, band: int) -> RawLayer:
    if dataset.transform.is_identity or dataset.crs is None:
        raise SourceError(f"{name}: is not georeferenced; it cannot be put on the grid of a cube")
    grid = GeoBox(dataset.shape, dataset.transform, tidy_crs(dataset.crs.to_wkt()))
    nodata = dataset.nodatavals[band - 1]
    return RawLayer(
        path=Path(name), reader="geotiff", key=band, grid=grid, dtype=np.dtype(dataset.dtypes[band - 1]),
        nodata=() if nodata is None else (float(nodata),), count=dataset.count,
    )  # fmt: skip


def _explained(error: RasterioError, name: str, access: str) -> SourceError:
    """Tell what GDAL's words mean; what stands after a question mark may be a secret."""
    words = re.sub(r"\?\S*", "", " ".join(f"{error} {error.__cause__ or ''}".split()))
    status = re.search(r"(?:HTTP response code|HTTP error code)\s*:?\s*(\d{3})", words)
    if status:
        return error_for(int(status[1]), name, access=access)
    if re.search(
        r"access ?denied|InvalidCredentials|SignatureDoesNotMatch|No valid AWS", words, re.IGNORECASE
    ):
        return error_for(403, name, access=access)
    if re.search(r"does not exist|no such file", words, re.IGNORECASE):
        return error_for(404, name)
    if re.search(r"not recognized as being in a supported", words):
        return SourceError(f"{name}: is no raster that can be read; the catalogue may be wrong")
    if re.search(r"CURL error|timed? ?out|connect", words, re.IGNORECASE):
        return BusyError(f"{name}: no answer in time; check the connection, or try again later")
    return BusyError(f"{name}: not all of it came ({words[:120]}); try again later")
