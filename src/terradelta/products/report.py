"""One self-contained page about a result: ``report.html``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import geopandas as gpd

from terradelta.products.charts import timeline
from terradelta.products.extras import EXTRA_STYLE, Extra, show_extras
from terradelta.products.html import Raw, image, table
from terradelta.products.layers import LAYERS
from terradelta.products.provenance import flatten
from terradelta.products.summary import Summary

__all__ = ["Page", "render_report"]

_LARGEST = 10


@dataclass(frozen=True)
class Page:
    """What a report shows.

    Attributes
    ----------
    summary : Summary
        Figures of the result.
    pictures : mapping of bytes
        PNG quick looks by file name, in order.
    polygons : geopandas.GeoDataFrame or None
        Areas of change.
    parts : sequence of Summary
        Results per orbit, each in a folder of its name.
    notes : mapping
        Dotted key of a setting to (unit, meaning).
    extras : sequence of Extra
        More files to show or link, in order.
    folder : Path
        Where the extra files lie now; pictures are taken into the page.
    """

    summary: Summary
    pictures: Mapping[str, bytes]
    polygons: gpd.GeoDataFrame | None = None
    parts: Sequence[Summary] = ()
    notes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    extras: Sequence[Extra] = ()
    folder: Path = Path()


def render_report(page: Page) -> str:
    """Write the report; all text that came from outside is escaped.

    Parameters
    ----------
    page : Page
        What to show.

    Returns
    -------
    str
        HTML with its pictures inside.
    """
    template = Template((files("terradelta.products") / "report.html").read_text(encoding="utf-8"))
    summary = page.summary
    sections = (
        show_extras(page.extras, page.folder), _maps(page), _timeline(summary), _orbits(page.parts),
        _largest(page.polygons), _settings(page), _acquisitions(summary), _layers(summary),
    )  # fmt: skip
    return template.substitute(
        title=escape(summary.title or "Change map"),
        subtitle=escape(_subtitle(summary)),
        lead=_lead(summary),
        figures=_figures(summary),
        sections="\n".join(section for section in sections if section),
        style=EXTRA_STYLE if page.extras else "",
        beside=", videos and tables lie beside it," if page.extras else "",
        version=escape(summary.tool_version),
        created=escape(summary.created.replace("T", " ").replace("Z", " UTC")),
    )


def hectares(square_metres: float) -> str:
    """Give an area in hectares with as many digits as make sense.

    Examples
    --------
    >>> hectares(12_345), hectares(98_765_432)
    ('1.23 ha', '9,877 ha')
    """
    value = square_metres / 1e4
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} ha"


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share >= 0.1 else 2}f} %"


def _subtitle(summary: Summary) -> str:
    grid = summary.grid
    unit = "°" if grid.resolution[0] < 0.1 else " m"
    crs = grid.crs if grid.crs.startswith("EPSG") else "own CRS"
    method = f"method {summary.method}" if summary.method else ""
    name = "" if summary.name == "combined" else summary.name
    size = f"{grid.width:,} × {grid.height:,} pixels of {grid.resolution[0]:.6g}{unit}"
    return " · ".join(part for part in (name, method, crs, size) if part)


def _lead(summary: Summary) -> str:
    if summary.change is None:
        return "This result has no change layer; see the maps below."
    change, period = summary.change, summary.period
    when = f" between {period[0]} and {period[1]}" if period else ""
    if not change.valid_pixels:
        return f"There is no valid pixel{when}: nothing can be said about change."
    if not change.changed_pixels:
        return f"<b>No change</b> was found{when} in {hectares(change.valid_area_m2)} of valid area."
    many = (
        ""
        if summary.polygons is None
        else f" in {summary.polygons:,} area{'s' if summary.polygons != 1 else ''}"
    )
    dated = (
        f", first on {summary.dates[0].date} and last on {summary.dates[-1].date}" if summary.dates else ""
    )
    return (
        f"<b>{hectares(change.changed_area_m2)}</b> changed{many}{when}: "
        f"<b>{_percent(change.changed_share)}</b> of the valid area{dated}."
    )


def _figures(summary: Summary) -> str:
    facts: list[tuple[str, str]] = []
    if summary.change:
        facts += [
            (hectares(summary.change.changed_area_m2), "changed"),
            (_percent(summary.change.changed_share), f"of {hectares(summary.change.valid_area_m2)} valid"),
        ]
    if summary.polygons is not None:
        facts.append((f"{summary.polygons:,}", "areas of change"))
    if summary.dates:
        facts.append((str(len(summary.dates)), "dates with change"))
    if summary.acquisitions:
        facts.append((str(len(summary.acquisitions)), "acquisitions used"))
    return "".join(f"<li><b>{escape(value)}</b><span>{escape(text)}</span></li>" for value, text in facts)


def _maps(page: Page) -> str:
    if not page.pictures:
        return ""
    shown = []
    for name, data in page.pictures.items():
        title = LAYERS[name.removesuffix(".png").split("-")[0]].title
        shown.append(f"<figure>{image(data, 'image/png', f'Map: {title}')}</figure>")
    return f'<h2>Maps</h2><div class="maps">{"".join(shown)}</div>'


def _timeline(summary: Summary) -> str:
    if not summary.dates:
        return ""
    seen = sorted({str(item["time"])[:10] for item in summary.acquisitions if item.get("time")})
    picture = image(timeline(summary.dates, seen), "image/svg+xml", "Changed area by date")
    rows = [(entry.date, f"{entry.pixels:,}", hectares(entry.area_m2)) for entry in summary.dates]
    listing = table(("date", "pixels", "area"), rows, numbers=(1, 2))
    return (
        f'<h2>When it changed</h2><figure class="scroll chart">{picture}</figure>'
        f"<details><summary>All {len(rows)} dates as a table</summary>{listing}</details>"
    )


def _orbits(parts: Sequence[Summary]) -> str:
    if not parts:
        return ""
    rows = []
    for part in parts:
        change = part.change
        period = " to ".join(part.period) if part.period else ""
        rows.append((
            Raw(f'<a href="{escape(part.name)}/report.html">{escape(part.name)}</a>'),
            str(len(part.acquisitions)), period,
            hectares(change.changed_area_m2) if change else "",
            _percent(change.changed_share) if change else "",
            "" if part.polygons is None else f"{part.polygons:,}",
        ))  # fmt: skip
    header = ("orbit", "acquisitions", "period", "changed", "share", "areas")
    note = (
        '<p class="faint">Orbits look from different sides and are judged apart before they are combined.</p>'
    )
    return f"<h2>Results per orbit</h2>{note}{table(header, rows, numbers=(1, 3, 4, 5))}"


def _largest(polygons: gpd.GeoDataFrame | None) -> str:
    if polygons is None or polygons.empty:
        return ""
    largest = polygons.sort_values("area_m2", ascending=False).head(_LARGEST)
    points = largest.geometry.representative_point().to_crs("EPSG:4326")
    rows = [
        (str(row.id), hectares(row.area_m2), _text(row.first_date), _text(row.last_date),
         _number(row.mean_score), f"{point.y:.5f}, {point.x:.5f}")
        for row, point in zip(largest.itertuples(), points, strict=True)
    ]  # fmt: skip
    header = ("no.", "area", "first date", "last date", "mean score", "latitude, longitude")
    listing = table(header, rows, numbers=(0, 1, 4))
    return f"<h2>Largest areas of change</h2>{listing}<p class='faint'>All of them are in polygons.gpkg.</p>"


def _settings(page: Page) -> str:
    flat = flatten(page.summary.configuration)
    rows = []
    for key, value in flat.items():
        unit, meaning = page.notes.get(key, ("", ""))
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        rows.append((Raw(f"<code>{escape(key)}</code>"), Raw(f"<code>{escape(shown)}</code>"), unit, meaning))
    inputs = "".join(f"<li><code>{escape(str(name))}</code></li>" for name in page.summary.inputs)
    listing = table(("setting", "value", "unit", "meaning"), rows) if rows else ""
    if not listing and not inputs:
        return ""
    return f"<h2>Settings</h2>{listing}" + (f"<p>Inputs:</p><ul>{inputs}</ul>" if inputs else "")


def _acquisitions(summary: Summary) -> str:
    if not summary.acquisitions:
        return ""
    rows = [
        (
            str(item.get("time", ""))[:19].replace("T", " "),
            str(item.get("orbit", "")),
            str(item.get("platform", "")),
        )
        for item in summary.acquisitions
    ]
    listing = table(("time, UTC", "orbit", "platform"), rows)
    return f"<h2>Acquisitions</h2><details><summary>All {len(rows)} acquisitions</summary>{listing}</details>"


def _layers(summary: Summary) -> str:
    rows = [
        (Raw(f"<code>{escape(layer.file)}</code>"), layer.description,
         "" if layer.unit == "1" else layer.unit, layer.dtype, layer.nodata)
        for layer in summary.layers.values()
    ]  # fmt: skip
    return "<h2>Layers</h2>" + table(("file", "meaning", "unit", "type", "no data"), rows)


def _text(value: Any) -> str:
    return "" if value is None or str(value) in ("<NA>", "NaT", "nan") else str(value)[:10]


def _number(value: Any) -> str:
    text = _text(value)
    return f"{float(text):.2f}" if text else ""
