"""Bursts from a list that lies on the disk: GeoParquet with one row per burst and time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from terradelta.errors import SourceError
from terradelta.sources.flights import direction_by_sun
from terradelta.sources.remote.offers import Period
from terradelta.sources.remote.opera.bursts import Burst, band_files, identity_of
from terradelta.types import PathType

__all__ = ["COLUMNS", "list_bursts"]

COLUMNS = ("opera_id", "acq_dt", "url_copol", "url_crosspol", "geometry")
"""Columns that a list must have."""


def list_bursts(path: PathType, outlines: Iterable[Any], period: Period) -> list[Burst]:
    """Take the bursts that meet one of several outlines in a period from a list.

    Parameters
    ----------
    path : path
        GeoParquet file with the columns `COLUMNS`. Rows may repeat a burst.
    outlines : iterable of shapely Polygon
        Longitude and latitude.
    period : Period
        Times of acquisition.

    Returns
    -------
    list of Burst
        Each once. The list says nothing about the direction; it is told by the sun.

    Raises
    ------
    SourceError
        The file cannot be read or lacks a column.
    """
    from shapely import union_all

    table = _read(Path(path))
    times = table["acq_dt"].to_numpy(dtype="datetime64[ns]")
    wanted = (times >= period.start) & (times < period.end)
    wanted &= table.geometry.intersects(union_all(list(outlines))).to_numpy()
    rows = table[wanted].drop_duplicates("opera_id")
    return [_burst(row) for row in rows[list(COLUMNS)].itertuples(index=False)]


def _read(path: Path) -> Any:
    import geopandas

    try:
        table = geopandas.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: cannot be read as GeoParquet ({reason}); check the path") from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise SourceError(
            f"{path.name}: lacks {', '.join(missing)}; a list of bursts needs {', '.join(COLUMNS)}"
        )
    return table.to_crs(4326) if table.crs is not None else table.set_crs(4326)


def _burst(row: Any) -> Burst:
    own, middle = identity_of(row.opera_id), row.geometry.centroid
    return Burst(
        identity=own,
        direction=direction_by_sun(own.time, middle.x, middle.y),
        files=band_files(_addresses(row)),
        footprint=row.geometry,
    )


def _addresses(row: Any) -> Sequence[str]:
    return [text for text in (row.url_copol, row.url_crosspol) if isinstance(text, str)]
