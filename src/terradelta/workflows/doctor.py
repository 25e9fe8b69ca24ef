"""What this machine has, and whether that is enough."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

__all__ = ["Finding", "examine"]

_EXTRAS = {
    "networks": "torch", "train": "lightning", "stac": "pystac_client", "sentinelhub": "sentinelhub",
    "postgis": "psycopg", "serve": "fastapi", "video": "av", "distributed": "distributed",
}  # fmt: skip
_LEAST_ROOM = 2**30


class Finding(NamedTuple):
    """One thing looked at."""

    what: str
    good: bool
    text: str


def examine() -> list[Finding]:
    """Look at versions, drivers, cores, memory and room.

    Returns
    -------
    list of Finding
        Extras that are not installed are no fault.

    Examples
    --------
    >>> examine()[0].what
    'Python'
    """
    return [
        Finding("Python", sys.version_info >= (3, 11), sys.version.split()[0]),
        Finding("terradelta", True, _version("terradelta")),
        *_packages(),
        _drivers(),
        _projections(),
        Finding("cores", True, str(os.cpu_count())),
        _memory(),
        _room(),
        *(_extra(name, module) for name, module in _EXTRAS.items()),
    ]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _packages() -> list[Finding]:
    found = []
    for line in requires("terradelta") or []:
        if "extra ==" in line:
            continue
        name = line.split(";")[0].split("[")[0].split(">")[0].split("<")[0].strip()
        have = _version(name)
        found.append(Finding(name, have != "not installed", have))
    return found


def _drivers() -> Finding:
    import rasterio
    from rasterio.drivers import raster_driver_extensions

    with rasterio.Env() as environment:
        drivers = environment.drivers()
    missing = [name for name in ("COG", "GTiff", "netCDF") if name not in drivers]
    text = f"GDAL {rasterio.__gdal_version__}, {len(raster_driver_extensions())} raster formats to write"
    return Finding("GDAL", not missing, f"{text}; missing: {', '.join(missing)}" if missing else text)


def _projections() -> Finding:
    from pyproj import Transformer

    try:
        easting = Transformer.from_crs(4326, 32631, always_xy=True).transform(3.0, 50.0)[0]
    except Exception as error:  # any failure here is the finding
        return Finding("PROJ", False, f"{type(error).__name__}: {error}")
    return Finding("PROJ", abs(easting - 500_000) < 1, "coordinates can be transformed")


def _memory() -> Finding:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return Finding("memory", True, "unknown")
    return Finding("memory", total >= 2**31, f"{total / 2**30:.1f} GiB")


def _room() -> Finding:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return Finding("room for temporary files", free >= _LEAST_ROOM, f"{free / 2**30:.1f} GiB")


def _extra(name: str, module: str) -> Finding:
    try:
        import_module(module)
    except ImportError:
        return Finding(f"extra {name}", True, f"not installed (pip install 'terradelta[{name}]')")
    return Finding(f"extra {name}", True, _version(module.replace("_", "-")))
