"""Sentinel-1 GRD images onto a map: calibrated, placed by the geolocation grid, without terrain."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from terradelta.errors import SourceError
from terradelta.sources.grids import require_crs
from terradelta.sources.interpolating import bilinear
from terradelta.sources.resampling import halves, window_for
from terradelta.sources.safe.calibration import Measure, calibrate
from terradelta.sources.safe.geometry import placement_of, positions_in
from terradelta.sources.safe.product import Image, SafeProduct, read_safe
from terradelta.types import PathType

__all__ = ["map_grid", "read_grd"]

_PIXEL = 10.0


def read_grd(
    safe: SafeProduct | PathType,
    grid: GeoBox,
    polarisations: Sequence[str] = (),
    *,
    measure: Measure = "sigma0",
    noise: bool = True,
) -> NDArray[np.float32]:
    """Read a GRD product onto a grid: calibrated on the ellipsoid, interpolated in linear power.

    Pixels are placed by the geolocation grid, whose points (every 20 km) follow the terrain roughly; nothing
    else of the terrain is corrected for. Where the grid is coarser than the image, all pixels count.

    Parameters
    ----------
    safe : SafeProduct or path
        The product.
    grid : GeoBox
        Where to; the caller chooses it small enough for memory.
    polarisations : sequence of str
        Bands; all of the product by default.
    measure : {"sigma0", "gamma0", "beta0"}
        What to measure.
    noise : bool
        Take the thermal noise off.

    Returns
    -------
    array (band, y, x) of float32
        Linear power; NaN outside, at the border, and where the mean lies below the noise.

    Raises
    ------
    SourceError
        The product is no GRD, or lacks pixels, tables or a polarisation.
    """
    product = safe if isinstance(safe, SafeProduct) else read_safe(safe)
    if product.product_type != "GRD":
        raise SourceError(
            f"{product.name}: is {product.product_type}, not GRD; geocode it with other software"
        )
    bands = polarisations or product.polarisations
    planes = [_band(product, product.image(band), grid, measure, noise) for band in bands]
    return np.stack(planes) if planes else np.empty((0, *grid.shape), np.float32)


def _band(
    product: SafeProduct, image: Image, grid: GeoBox, measure: Measure, noise: bool
) -> NDArray[np.float32]:
    at, ratio = positions_in(image, grid), _coarseness(image, grid)
    window = window_for(image.shape, at, (max(1.0, ratio[0]), max(1.0, ratio[1])))
    if window is None:
        return np.full(grid.shape, np.nan, dtype=np.float32)
    cut = halves(grid, window)
    if cut is not None:
        return np.concatenate([_band(product, image, half, measure, noise) for half in cut[1:]], axis=cut[0])
    first = window[0].start, window[1].start
    dn = _numbers(product, image, window)
    power = calibrate(dn, product, image.band, measure, noise=noise, first=first)
    result = bilinear(power, at, window, ratio)
    return np.where(result > 0, result, np.float32(np.nan))


def _numbers(product: SafeProduct, image: Image, window: tuple[slice, slice]) -> NDArray[np.generic]:
    """Read digital numbers of a window."""
    if not image.measured:
        raise SourceError(f"{product.name}: has no {image.measurement}; fetch the whole product")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(product.archive.raster(image.measurement)) as file:
                if file.shape != image.shape:
                    raise SourceError(
                        f"{image.stem}: has {file.shape[0]} x {file.shape[1]} pixels, its annotation "
                        f"{image.shape[0]} x {image.shape[1]}; fetch the product again"
                    )
                dn: NDArray[np.generic] = file.read(1, window=Window.from_slices(*window))
    except RasterioError as error:
        raise SourceError(f"{image.stem}: cannot be read ({error}); fetch the product again") from error
    return dn


@lru_cache(maxsize=32)
def _coarseness(image: Image, grid: GeoBox) -> tuple[float, float]:
    """Lines and pixels of the image per pixel of a grid, at the image's middle; never below 1."""
    placement = placement_of(image)
    there = Transformer.from_crs(placement.plane, require_crs(grid).to_wkt(), always_xy=True)
    x, y = there.transform([-0.5, 0.5, 0.0, 0.0], [0.0, 0.0, -0.5, 0.5])
    metre_x, metre_y = math.hypot(x[1] - x[0], x[3] - x[2]), math.hypot(y[1] - y[0], y[3] - y[2])
    edges = abs(grid.affine.e) / metre_y, abs(grid.affine.a) / metre_x
    return max(1.0, edges[0] / image.spacing[0]), max(1.0, edges[1] / image.spacing[1])


@lru_cache(maxsize=32)
def map_grid(path: Path, band: str) -> GeoBox:
    """Grid in the UTM zone of a product's middle that holds all of it, with pixels of 10 m on whole tens."""
    image = read_safe(path).image(band)
    placement = placement_of(image)
    longitude, latitude = placement.middle
    zone = int((longitude + 180) % 360 // 6) + 1
    crs = f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"
    change = Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = change.transform(image.grid.longitude, image.grid.latitude)
    left, bottom = (math.floor(axis.min() / _PIXEL) * _PIXEL for axis in (x, y))
    right, top = (math.ceil(axis.max() / _PIXEL) * _PIXEL for axis in (x, y))
    shape = round((top - bottom) / _PIXEL), round((right - left) / _PIXEL)
    return GeoBox(shape, Affine(_PIXEL, 0, left, 0, -_PIXEL, top), crs)
