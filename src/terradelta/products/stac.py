"""The STAC item of an output folder: ``item.json``."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pystac
from odc.geo.geobox import GeoBox

from terradelta.products.area import epsg_of
from terradelta.products.extras import MEDIA
from terradelta.products.layers import LAYERS
from terradelta.products.summary import LayerSummary, Summary

__all__ = ["stac_item"]

_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
]
_MEDIA = {
    **MEDIA,
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": "application/vnd.apache.parquet",
    ".qml": "application/xml",
}


def stac_item(
    summary: Summary,
    geobox: GeoBox,
    folder: Path,
    files: Sequence[str],
    titles: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Describe an output folder as a STAC 1.1 item.

    Parameters
    ----------
    summary : Summary
        Figures of the folder.
    geobox : GeoBox
        Its grid.
    folder : Path
        Where the files lie now; sizes and checksums are read from them.
    files : sequence of str
        Names of the files that become assets, with relative links.
    titles : mapping of str
        Titles of assets by file, where they are no layers or other known products.

    Returns
    -------
    dict
        The item, ready for JSON. Its geometry is split at the antimeridian where it must be.
    """
    footprint = geobox.extent.to_crs("EPSG:4326", resolution=_edge(geobox), wrapdateline=True)
    start, end = _period(summary)
    item = pystac.Item(
        id=_identifier(summary),
        geometry=json.loads(json.dumps(footprint.json)),
        bbox=_bbox(footprint.geom),
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties=_properties(summary, geobox),
        stac_extensions=list(_EXTENSIONS),
    )
    for name in files:
        item.add_asset(_key(name), _asset(folder / name, summary, titles.get(name)))
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _identifier(summary: Summary) -> str:
    plain = unicodedata.normalize("NFKD", f"{summary.title or 'terradelta'}-{summary.name}")
    text = plain.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._-]+", "-", text).strip("-")


def _edge(geobox: GeoBox) -> float:
    """Length of the pieces into which a side is cut before it is transformed: its curve matters."""
    box = geobox.extent.boundingbox
    return float(max(box.right - box.left, box.top - box.bottom)) / 8


def _bbox(shape: Any) -> list[float]:
    west, south, east, north = (float(value) for value in shape.bounds)
    if shape.geom_type == "MultiPolygon" and west == -180.0 and east == 180.0:
        sides = [part.bounds for part in shape.geoms]
        west = min(part[0] for part in sides if part[2] == 180.0)
        east = max(part[2] for part in sides if part[0] == -180.0)
    return [west, south, east, north]


def _period(summary: Summary) -> tuple[datetime, datetime]:
    times = sorted(str(item["time"]) for item in summary.acquisitions if item.get("time"))
    if not times:
        times = list(summary.period or ()) or [summary.created]
    return _utc(times[0]), _utc(times[-1])


def _utc(text: str) -> datetime:
    time = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _properties(summary: Summary, geobox: GeoBox) -> dict[str, Any]:
    code = epsg_of(geobox)
    properties: dict[str, Any] = {
        "title": summary.title or summary.name,
        "created": _utc(summary.created).isoformat().replace("+00:00", "Z"),
        "proj:code": f"EPSG:{code}" if code else None,
        "proj:shape": [summary.grid.height, summary.grid.width],
        "proj:transform": summary.grid.transform,
        "proj:bbox": summary.grid.bounds,
        "processing:software": {"terradelta": summary.tool_version},
        "terradelta:method": summary.method,
        "terradelta:configuration": summary.configuration,
    }
    if geobox.crs and not geobox.crs.geographic:
        properties["gsd"] = max(summary.grid.resolution)
    if not code and geobox.crs:
        properties["proj:wkt2"] = summary.grid.wkt
    platforms = sorted({str(item["platform"]) for item in summary.acquisitions if item.get("platform")})
    if platforms:
        properties["platform"] = ", ".join(platforms)
    return properties


def _key(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix in (".tif", ".html") else name.replace(".", "-")


def _asset(path: Path, summary: Summary, title: str | None) -> pystac.Asset:
    layer = summary.layers.get(path.stem) if path.suffix == ".tif" else None
    asset = pystac.Asset(
        href=f"./{path.name}", title=title or _title(path), media_type=_MEDIA[path.suffix], roles=_roles(path)
    )
    asset.extra_fields["file:size"] = path.stat().st_size
    asset.extra_fields["file:checksum"] = _multihash(path)
    if layer is not None:
        asset.description = layer.description
        asset.extra_fields |= _raster_fields(layer)
    return asset


def _title(path: Path) -> str:
    stem = path.stem.split("-")[0]
    known = {"polygons": "Areas of change", "report": "Report", "summary": "Figures"}
    title = LAYERS[stem].title if stem in LAYERS else known.get(stem, path.name)
    return title + {".png": " (quick look)", ".qml": " (QGIS style)", ".parquet": " (GeoParquet)"}.get(
        path.suffix, ""
    )


def _roles(path: Path) -> list[str]:
    if path.suffix in (".png", ".mp4", ".gif"):
        return ["thumbnail" if path.stem == "change" else "overview"]
    return {".html": ["metadata"], ".json": ["metadata"], ".qml": ["style"]}.get(path.suffix, ["data"])


def _raster_fields(layer: LayerSummary) -> dict[str, Any]:
    nodata: Any = "nan" if layer.nodata == "nan" else int(layer.nodata)
    shared = {"data_type": layer.dtype, "nodata": nodata, "unit": layer.unit}
    bands = []
    for band in layer.bands:
        entry: dict[str, Any] = {"name": band.name}
        if band.valid_pixels:
            entry["statistics"] = {
                "minimum": band.minimum, "maximum": band.maximum, "mean": band.mean, "stddev": band.deviation,
                "count": band.valid_pixels,
            }  # fmt: skip
        bands.append(entry)
    return {**shared, "bands": bands}


def _multihash(path: Path) -> str:
    with path.open("rb") as file:
        return "1220" + hashlib.file_digest(file, "sha256").hexdigest()
