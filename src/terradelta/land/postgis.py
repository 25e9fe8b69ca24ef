"""Land cover and radar pixels from PostGIS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from terradelta.errors import CubeError
from terradelta.land.classes import OPEN
from terradelta.land.interface import Acquisition, Areas
from terradelta.land.masks import inside, reach
from terradelta.land.nearest import by_distance, check_found, check_question
from terradelta.land.radar import find_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odc.geo.geobox import GeoBox

    from terradelta.sources.postgis import Database
    from terradelta.types import BoolArray, FloatArray

__all__ = ["PostgisLand"]


class PostgisLand:
    """Forest, nearest areas and radar pixels out of the tables that ``terradelta database`` fills.

    Areas are found by the index of the table (``<->``), pixels are cut in the database; a role that may only
    read is enough. Safe to hand to other processes, which connect anew.

    Parameters
    ----------
    database : str or Database, optional
        Address such as ``postgresql://USER@HOST/NAME``, or an open database; empty: `TERRADELTA_DATABASE`,
        then libpq's own variables.
    place : str
        Whose radar images; empty: those of the only place.
    dataset : str
        Which land cover; empty: the only one.
    schema : str
        Schema of the tables.

    Attributes
    ----------
    crs : str
        Reference system of the areas.
    repaired, skipped : int
        Broken geometries that were repaired or left out when the land cover was loaded.

    Raises
    ------
    InputError
        There is no land cover of that name.
    SourceError
        The database is not there, refuses the password, or lacks an extension or a table.

    Examples
    --------
    >>> PostgisLand("postgresql://ana:secret@127.0.0.1:1/land")
    Traceback (most recent call last):
    terradelta.errors.SourceError: the database land on 127.0.0.1:1 as ana does not answer ...
    """

    def __init__(
        self,
        database: str | Database | None = None,
        *,
        place: str = "",
        dataset: str = "",
        schema: str = "terradelta",
    ) -> None:
        from terradelta.sources.postgis import Database
        from terradelta.sources.postgis.areas import find_dataset
        from terradelta.sources.postgis.schema import require_schema

        self._database = (
            database if isinstance(database, Database) else Database(database or None, schema=schema)
        )
        require_schema(self._database)
        self._place = place
        self._dataset = find_dataset(self._database, dataset)
        self.crs = self._dataset.crs
        self.repaired, self.skipped = self._dataset.repaired, self._dataset.skipped

    def __repr__(self) -> str:
        return f"PostgisLand({self._database!r}, dataset {self._dataset.name})"

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def forest(self, grid: GeoBox) -> BoolArray:
        """Tell where forest is.

        Parameters
        ----------
        grid : GeoBox
            Any grid with a CRS; the centres of its pixels are transformed to `crs`.

        Returns
        -------
        ndarray of bool, (y, x)
            True where the centre of the pixel lies inside forest; False where nothing is known.

        Raises
        ------
        InputError
            If the grid has no CRS.
        SourceError
            The database fails.
        """
        from terradelta.sources.postgis.areas import areas_within

        shapes, _ = areas_within(self._database, self._dataset, reach(grid, self.crs), ("forest",))
        return inside(shapes, self.crs, grid)

    def nearest(self, x: float, y: float, count: int, classes: Sequence[str] = OPEN) -> Areas:
        """Find the areas nearest to a point.

        Parameters
        ----------
        x, y : float
            The point, in `crs`.
        count : int
            How many. If there are fewer, all of them come and a warning is logged.
        classes : sequence of str
            Which classes, of `CLASSES`.

        Returns
        -------
        Areas
            Sorted by distance; equal distances stay in the order of the data.

        Raises
        ------
        InputError
            If there is no such area at all, or a class is unknown.
        SourceError
            The database fails.
        """
        from terradelta.sources.postgis.areas import areas_near

        names = check_question(x, y, count, classes)
        shapes, kinds = areas_near(self._database, self._dataset, (x, y), count, names)
        places, distances = by_distance(shapes, x, y, count)
        check_found(len(places), count, names, f"land cover {self._dataset.name!r} in the database")
        return Areas(tuple(shapes[places]), tuple(map(str, kinds[places])), distances, self.crs)

    def pixels(self, areas: Areas, acquisition: Acquisition) -> FloatArray:
        """Read the radar pixels inside areas.

        Parameters
        ----------
        areas : Areas
            Some areas.
        acquisition : Acquisition
            Which image.

        Returns
        -------
        ndarray of float32, (band, n)
            Linear power of the pixels whose centre lies in any of the areas, each once, row by row;
            pixels without data (NaN in any band) are left out.

        Raises
        ------
        CubeError
            If there is no such image.
        SourceError
            The database fails.
        """
        from terradelta.sources.postgis.images import stored_rows
        from terradelta.sources.postgis.pixels import cut_tiles, cuttings
        from terradelta.sources.postgis.places import find_place

        place = find_place(self._database, self._place)
        rows = stored_rows(self._database, place.key, "sar")
        if not rows:
            raise CubeError(
                f"the place {place.name!r} has no radar images in the database; "
                "load a cube with some: `terradelta database load CUBE`"
            )
        row = rows[find_image(_as_tree(rows), acquisition)]
        shapes, grid = np.asarray(areas.geometries, dtype=object), place.geobox
        found: list[FloatArray] = [np.empty((len(row["bands"]), 0), np.float32)]
        orders = [np.empty(0, np.int64)]
        parts = cuttings(shapes, areas.crs, grid)
        for y, x, values in cut_tiles(self._database, place, row["acquisition"], parts):
            window = grid[y : y + values.shape[1], x : x + values.shape[2]]
            mask = inside(shapes, areas.crs, window) & np.isfinite(values).all(axis=0)
            found.append(values[:, mask])
            at_y, at_x = np.nonzero(mask)
            orders.append((at_y + y) * int(grid.shape[1]) + at_x + x)
        order = np.argsort(np.concatenate(orders))
        return np.concatenate(found, axis=1)[:, order]


def _as_tree(rows: list[dict[str, Any]]) -> xr.DataTree:
    """Give what tells images apart in the form of a cube, so that they are found by the same rules."""
    coords = {
        "time": np.array([row["nanoseconds"] for row in rows], "datetime64[ns]"),
        "platform": ("time", np.array([row["platform"] for row in rows], object)),
        "relative_orbit": ("time", np.array([row["relative_orbit"] for row in rows])),
    }
    return xr.DataTree.from_dict({"sar": xr.Dataset(coords=coords)})
