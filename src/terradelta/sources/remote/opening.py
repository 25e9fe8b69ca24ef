"""The conditions under which rasters of other machines are opened: few requests, limits, no traces left."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections import Counter
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
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terradelta.errors import SourceError
from terradelta.sources.grids import tidy_crs
from terradelta.sources.layers import Layer, RawLayer
from terradelta.sources.remote.discretion import keep_secrets_out_of_logs
from terradelta.sources.remote.retrying import BusyError, error_for

__all__ = ["RemoteRaster", "gdal_name", "open_raster", "remote_reading"]

_DEFAULTS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_CONNECTTIMEOUT": 20,
    "GDAL_HTTP_TIMEOUT": 120,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    "GDAL_HTTP_LOW_SPEED_TIME": 60,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,
    "CPL_VSIL_CURL_USE_HEAD": "NO",
    "VSI_CACHE": "FALSE",
}

_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")
"""First bytes of TIFF, BigTIFF and JPEG 2000."""


@contextmanager
def remote_reading(**options: Any) -> Iterator[None]:
    """Open and read rasters of other machines inside this block, in the thread that enters it.

    No folder is listed, cookies go into a temporary folder, no log gets the query of an address. GDAL reads
    secrets itself: `~/.netrc`, or the environment variables ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
    ``GDAL_HTTP_HEADER_FILE``, ``GDAL_HTTP_BEARER``.

    Parameters
    ----------
    **options
        Further options of GDAL, or other values for those set here: ``AWS_S3_ENDPOINT``,
        ``AWS_REQUEST_PAYER``, ``GDAL_HTTP_TIMEOUT`` in seconds. None takes an option away. What the
        environment already says about time limits and S3 is stronger. The size of a file
        is learnt from a GET that is broken off, which every server and signed link allows; where HEAD is
        allowed, ``CPL_VSIL_CURL_USE_HEAD="YES"`` spares the broken connection.

    Examples
    --------
    >>> from rasterio.env import getenv
    >>> with remote_reading(GDAL_HTTP_TIMEOUT=5):
    ...     getenv()["GDAL_HTTP_TIMEOUT"]
    5
    """
    keep_secrets_out_of_logs()
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
    name = name or _plain(address).rpartition("/")[2]
    try:
        with _afresh(address) as afresh, rasterio.open(gdal_name(afresh)) as dataset:
            yield RemoteRaster(_header(dataset, name, band), dataset)
    except RasterioError as error:
        _failures[_plain(address)] += 1
        raise _explained(error, address, name, access) from None


def _plain(address: str) -> str:
    """Address without what may be a secret."""
    return address.partition("?")[0]


_failures: Counter[str] = Counter()
"""How often each address failed in this process."""


@contextmanager
def _afresh(address: str) -> Iterator[str]:
    """Address under which GDAL, which remembers failures for good, asks the server again.

    What stands after "#" is never sent. Links to S3 and the like have no such part: there GDAL has to forget
    the file when it closes it, which is not safe while other threads read it, and to try again itself.
    """
    failed = _failures[_plain(address)]
    if address.startswith("http"):
        yield f"{address}#{failed}" if failed else address
        return
    forgetful = {"CPL_VSIL_CURL_NON_CACHED": gdal_name(address)} if failed else {}
    with rasterio.Env(GDAL_HTTP_MAX_RETRY=2, GDAL_HTTP_RETRY_DELAY=1, **forgetful):
        yield address


def _header(dataset: Any, name: str, band: int) -> RawLayer:
    if dataset.transform.is_identity or dataset.crs is None:
        raise SourceError(f"{name}: is not georeferenced; it cannot be put on the grid of a cube")
    grid = GeoBox(dataset.shape, dataset.transform, tidy_crs(dataset.crs.to_wkt()))
    nodata = dataset.nodatavals[band - 1]
    return RawLayer(
        path=Path(name), reader="geotiff", key=band, grid=grid, dtype=np.dtype(dataset.dtypes[band - 1]),
        nodata=() if nodata is None else (float(nodata),), count=dataset.count,
    )  # fmt: skip


def _explained(error: RasterioError, address: str, name: str, access: str) -> SourceError:
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
    if re.search(r"not recognized as being in a supported", words) and not _begins_well(address):
        return SourceError(f"{name}: is no raster that can be read; the catalogue may be wrong")
    if re.search(r"CURL error|timed? ?out|connect", words, re.IGNORECASE):
        return BusyError(f"{name}: no answer in time; check the connection, or try again later")
    return BusyError(f"{name}: not all of it came ({words[:120]}); try again later")


def _begins_well(address: str) -> bool:
    """Whether a file may be a TIFF or JPEG 2000 after all, of which not enough came to be opened."""
    import requests

    if not address.startswith("http"):
        return address.startswith("s3://")
    try:
        with requests.get(address, headers={"Range": "bytes=0-15"}, stream=True, timeout=(20, 60)) as answer:
            return not answer.ok or answer.raw.read(16).startswith(_BEGINNINGS)
    except requests.RequestException:
        return True
