"""Geometries as files hold them, made into valid polygons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Mended", "mend"]


@dataclass(frozen=True, eq=False)
class Mended:
    """Geometries made into valid polygons.

    Attributes
    ----------
    polygons : ndarray of shapely.Polygon, (polygon,)
        Valid, two-dimensional, in order.
    rows : ndarray of int, (polygon,)
        Which geometry each comes from.
    repaired, skipped : int
        How many geometries were broken, and how many gave no polygon.
    """

    polygons: NDArray[Any]
    rows: NDArray[np.intp]
    repaired: int
    skipped: int


def mend(geometries: NDArray[Any] | Sequence[Any]) -> Mended:
    """Repair geometries and split multi-polygons.

    Parameters
    ----------
    geometries : sequence of shapely.Geometry or None
        Any geometries.

    Returns
    -------
    Mended
        Their polygon parts.

    Examples
    --------
    >>> import shapely
    >>> bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    >>> mended = mend([bow_tie, None, shapely.Point(0, 0), shapely.box(0, 0, 1, 1)])
    >>> mended.repaired, mended.skipped, mended.rows.tolist()
    (1, 2, [0, 0, 3])
    """
    import shapely

    shapes = shapely.force_2d(np.asarray(geometries, dtype=object))
    usable = (shapely.get_dimensions(shapes) == 2) & np.isfinite(shapely.bounds(shapes)).all(axis=-1)
    broken = usable & ~shapely.is_valid(shapes)
    if broken.any():
        shapes[broken] = shapely.make_valid(shapes[broken])
    first = np.flatnonzero(usable)
    parts, outer = shapely.get_parts(shapes[first], return_index=True)
    parts, inner = shapely.get_parts(parts, return_index=True)  # a collection may hold multi-polygons
    rows = first[outer[inner]]
    whole = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    parts, rows = parts[whole], rows[whole]
    given = np.zeros(len(shapes), bool)
    given[rows] = True
    return Mended(parts, rows, int((broken & given).sum()), int((~given).sum()))
