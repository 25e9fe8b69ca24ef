"""The machine-readable summary of an output folder: ``summary.json``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import BaseModel, ValidationError

from terradelta.errors import InputError
from terradelta.products.area import PixelAreas, epsg_of, wkt_of
from terradelta.products.layers import LAYERS, valid
from terradelta.types import PathType

__all__ = [
    "SUMMARY",
    "BandSummary",
    "ChangeSummary",
    "DateSummary",
    "GridSummary",
    "LayerSummary",
    "Summary",
    "Tally",
    "iso_date",
    "read_summary",
]

SUMMARY = "summary.json"
_EPOCH = date(1970, 1, 1)


def iso_date(days: int) -> str:
    """Give the ISO date of a number of days since 1970-01-01.

    Examples
    --------
    >>> iso_date(18262)
    '2020-01-01'
    """
    return (_EPOCH + timedelta(days=int(days))).isoformat()


class BandSummary(BaseModel):
    """Figures of one raster band; None where nothing is valid."""

    name: str
    valid_pixels: int
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None


class LayerSummary(BaseModel):
    """One raster file."""

    file: str
    dtype: str
    nodata: str
    unit: str
    description: str
    bands: list[BandSummary]


class GridSummary(BaseModel):
    """The grid of all rasters; ``transform`` as GDAL's six coefficients a, b, c, d, e, f."""

    crs: str
    wkt: str
    transform: list[float]
    height: int
    width: int
    bounds: list[float]
    resolution: list[float]


class ChangeSummary(BaseModel):
    """How much changed; areas in square metres, share from 0 to 1 of the valid area."""

    valid_pixels: int
    changed_pixels: int
    valid_area_m2: float
    changed_area_m2: float
    changed_share: float


class DateSummary(BaseModel):
    """What changed on one date."""

    date: str
    pixels: int
    area_m2: float


class Summary(BaseModel):
    """All figures of an output folder; written last, so a folder that has it is complete."""

    schema_version: int = 1
    name: str
    title: str
    created: str
    tool_version: str
    method: str
    configuration: dict[str, Any]
    inputs: list[str]
    acquisitions: list[dict[str, Any]]
    grid: GridSummary
    layers: dict[str, LayerSummary]
    change: ChangeSummary | None = None
    dates: list[DateSummary] = []
    polygons: int | None = None
    parts: list[str] = []
    files: list[str] = []

    @property
    def period(self) -> tuple[str, str] | None:
        """First and last day: of the acquisitions, else of the changes, else None."""
        days = sorted(str(item["time"])[:10] for item in self.acquisitions if item.get("time"))
        days = days or [entry.date for entry in self.dates]
        return (days[0], days[-1]) if days else None


def read_summary(folder: PathType) -> Summary:
    """Read the summary of an output folder.

    Parameters
    ----------
    folder : path-like
        What ``write`` has written.

    Returns
    -------
    Summary
        All figures.

    Raises
    ------
    InputError
        The folder is missing, unfinished, or its summary is damaged or newer.
    """
    path = Path(folder) / SUMMARY
    if not Path(folder).is_dir():
        raise InputError(f"{folder} is not a folder; give an output folder of terradelta")
    if not path.is_file():
        raise InputError(f"{folder} holds no finished result ({SUMMARY} is missing); write it again")
    try:
        summary = Summary.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path} is damaged ({first['msg']} at {first['loc']}); write it again") from error
    if summary.schema_version > 1:
        raise InputError(f"{path} has schema {summary.schema_version}, known is 1; update terradelta")
    return summary


def grid_summary(geobox: GeoBox) -> GridSummary:
    """Describe a grid.

    Parameters
    ----------
    geobox : GeoBox
        The grid.

    Returns
    -------
    GridSummary
        CRS as ``EPSG:...`` where it has a code, else as WKT.
    """
    wkt = wkt_of(geobox)
    code = epsg_of(geobox)
    return GridSummary(
        crs=f"EPSG:{code}" if code else wkt,
        wkt=wkt,
        transform=[float(value) for value in geobox.affine[:6]],
        height=geobox.shape.y,
        width=geobox.shape.x,
        bounds=[float(value) for value in geobox.extent.boundingbox],
        resolution=[abs(float(geobox.resolution.x)), abs(float(geobox.resolution.y))],
    )


class Tally:
    """Adds up, block by block, how much changed and when.

    Parameters
    ----------
    geobox : GeoBox
        The grid of the whole raster.
    """

    def __init__(self, geobox: GeoBox) -> None:
        self._areas = PixelAreas(geobox)
        self._seen = False
        self._pixels = {"valid": 0, "changed": 0}
        self._area = {"valid": 0.0, "changed": 0.0}
        self._dates: dict[int, tuple[int, float]] = {}

    def add(self, first_row: int, blocks: Mapping[str, NDArray[Any]]) -> None:
        """Count one block.

        Parameters
        ----------
        first_row : int
            Row of the block's first pixel.
        blocks : mapping of ndarray (1, rows, columns)
            Stored values by layer; without ``change`` nothing is counted.
        """
        if "change" not in blocks:
            return
        self._seen = True
        change = blocks["change"][0]
        areas = self._areas.rows(first_row, first_row + change.shape[0])
        changed = change == 1
        for key, mask in (("valid", valid(LAYERS["change"], change)), ("changed", changed)):
            rows = mask.sum(axis=1)
            self._pixels[key] += int(rows.sum())
            self._area[key] += float(rows @ areas)
        if "date" in blocks:
            self._add_dates(blocks["date"][0], changed, areas)

    def _add_dates(self, days: NDArray[Any], changed: NDArray[np.bool_], areas: NDArray[np.float64]) -> None:
        dated = changed & valid(LAYERS["date"], days)
        rows, _ = np.nonzero(dated)
        found, index = np.unique(days[dated], return_inverse=True)
        pixels = np.bincount(index, minlength=found.size)
        area = np.bincount(index, weights=areas[rows], minlength=found.size)
        for day, count, size in zip(found.tolist(), pixels.tolist(), area.tolist(), strict=True):
            before = self._dates.get(day, (0, 0.0))
            self._dates[day] = (before[0] + count, before[1] + size)

    def change(self) -> ChangeSummary | None:
        """Give the totals; None when no change layer was seen."""
        if not self._seen:
            return None
        share = self._area["changed"] / self._area["valid"] if self._area["valid"] else 0.0
        return ChangeSummary(
            valid_pixels=self._pixels["valid"],
            changed_pixels=self._pixels["changed"],
            valid_area_m2=self._area["valid"],
            changed_area_m2=self._area["changed"],
            changed_share=share,
        )

    def dates(self) -> list[DateSummary]:
        """Give what changed by date, in order."""
        return [
            DateSummary(date=iso_date(day), pixels=count, area_m2=area)
            for day, (count, area) in sorted(self._dates.items())
        ]
