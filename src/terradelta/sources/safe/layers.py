"""SAFE products as images of a folder: one per polarisation, read straight onto a cube's grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.layers import RawLayer
from terradelta.sources.safe.calibration import MEASURES, Measure
from terradelta.sources.safe.geocoding import map_grid, read_grd
from terradelta.sources.safe.product import SafeProduct
from terradelta.sources.sidecar import FileSettings

__all__ = ["border_note", "read_headers", "read_image"]

_CLEAN_BORDER = 2.9


def read_headers(product: SafeProduct, settings: FileSettings) -> list[RawLayer]:
    """Describe the polarisations whose pixels are there.

    Parameters
    ----------
    product : SafeProduct
        The product.
    settings : FileSettings
        `radiometry` chooses what is measured: "sigma0-ellipsoid" by default.

    Raises
    ------
    SourceError
        Another radiometry is asked for than calibration gives.
    """
    measure, _, surface = (settings.radiometry or "sigma0-ellipsoid").partition("-")
    if measure not in MEASURES or surface == "rtc":
        raise SourceError(
            f"{product.name}: {settings.radiometry} needs the terrain, which is not corrected for here; say "
            "'radiometry: sigma0-ellipsoid' or 'gamma0-ellipsoid', or process it with SNAP"
        )
    if product.product_type != "GRD":
        return []
    path = product.archive.path
    bands = [image.band for image in product.images if image.measured]
    return [
        RawLayer(
            path=path, reader="safe", key=(f"{measure}_{band}", None), grid=map_grid(path, band),
            dtype=np.dtype(np.float32), scaled=True, label=f"{measure}_{band}", tags={"units": "linear"},
            count=len(bands),
        )
        for band in bands
    ]  # fmt: skip


def read_image(raw: RawLayer, grid: GeoBox) -> NDArray[np.float32]:
    """Read a polarisation onto any grid, straight from the image's own geometry.

    Parameters
    ----------
    raw : RawLayer
        From :func:`read_headers`.
    grid : GeoBox
        Where to.

    Returns
    -------
    array (y, x) of float32
        Linear power, NaN = no data.
    """
    name, band = str(raw.key[0] if isinstance(raw.key, tuple) else raw.key).split("_")
    measure: Measure = "sigma0" if name == "sigma0" else "gamma0" if name == "gamma0" else "beta0"
    image: NDArray[np.float32] = read_grd(raw.path, grid, (band,), measure=measure)[0]
    return image


def border_note(product: SafeProduct) -> str:
    """One line where the border of a product holds noise that is not 0 (before IPF 2.90, March 2018)."""
    try:
        old = float(product.ipf_version) < _CLEAN_BORDER
    except ValueError:
        old = False
    if not old:
        return ""
    return (
        f"{product.name}: processed by IPF {product.ipf_version}, which leaves noise at the border; keep "
        "away from its edges, or remove the border noise with SNAP"
    )
