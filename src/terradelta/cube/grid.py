"""The grid of a cube: in words, as JSON, and as coordinates after CF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["crs_text", "describe_grid", "grid_coords", "grid_document", "grid_from"]


def crs_text(crs: CRS | None) -> str:
    """Name a CRS as shortly as it can be without loss.

    Parameters
    ----------
    crs : CRS or None
        The reference system.

    Returns
    -------
    str
        ``EPSG:n`` if that says it all, else WKT; empty for None.

    Examples
    --------
    >>> crs_text(CRS("EPSG:32631"))
    'EPSG:32631'
    """
    if crs is None:
        return ""
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg and CRS(f"EPSG:{epsg}") == crs else crs.to_wkt()


def describe_grid(geobox: GeoBox) -> str:
    """Describe a grid in a few words, for messages.

    Parameters
    ----------
    geobox : GeoBox
        The grid.

    Returns
    -------
    str
        Size, resolution, CRS and corner.

    Examples
    --------
    >>> describe_grid(GeoBox((4, 5), Affine(10.0, 0.0, 7.0, 0.0, -10.0, 9.0), "EPSG:32631"))
    '4 x 5 pixels of 10 in EPSG:32631 at (7, 9)'
    """
    y, x = geobox.shape
    corner = f"({geobox.affine.c:.10g}, {geobox.affine.f:.10g})"
    return f"{y} x {x} pixels of {geobox.affine.a:.10g} in {crs_text(geobox.crs)} at {corner}"


def grid_document(geobox: GeoBox) -> dict[str, Any]:
    """Give a grid as JSON can keep it, without loss.

    Parameters
    ----------
    geobox : GeoBox
        The grid.

    Returns
    -------
    dict
        For :func:`grid_from`.
    """
    return {
        "crs": crs_text(geobox.crs),
        "affine": [float(value) for value in tuple(geobox.affine)[:6]],
        "shape": [int(value) for value in geobox.shape],
    }


def grid_from(document: dict[str, Any]) -> GeoBox:
    """Make the grid that a document describes.

    Parameters
    ----------
    document : dict
        From :func:`grid_document`.

    Returns
    -------
    GeoBox
        The grid.

    Examples
    --------
    >>> geobox = GeoBox((4, 5), Affine(1 / 3, 0.0, 7.0, 0.0, -1 / 7, 9.0), "EPSG:4326")
    >>> grid_from(grid_document(geobox)) == geobox
    True
    """
    return GeoBox(tuple(document["shape"]), Affine(*document["affine"]), document["crs"])


def grid_coords(geobox: GeoBox) -> dict[str, xr.DataArray]:
    """Give the coordinates ``y``, ``x`` and ``spatial_ref`` of a grid.

    Parameters
    ----------
    geobox : GeoBox
        The grid.

    Returns
    -------
    dict of DataArray
        Pixel centres in the CRS's unit, and the CRS after CF.

    Examples
    --------
    >>> sorted(grid_coords(GeoBox((4, 5), Affine.scale(10, -10), "EPSG:32631")))
    ['spatial_ref', 'x', 'y']
    """
    coords = xr_coords(geobox, always_yx=True)
    return {str(name): array for name, array in coords.items()}
