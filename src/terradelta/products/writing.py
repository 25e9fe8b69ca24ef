"""Write a result: rasters, polygons, styles, maps, STAC item, summary and report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import geopandas as gpd
import xarray as xr
from odc.geo.geobox import GeoBox

from terradelta.errors import InputError
from terradelta.products.extras import Extra, check_extras
from terradelta.products.files import publish, staging, storing
from terradelta.products.layers import LAYERS
from terradelta.products.maps import draw_map
from terradelta.products.polygons import change_polygons, write_polygons
from terradelta.products.preview import Preview, load_preview
from terradelta.products.provenance import Provenance
from terradelta.products.rasters import grid_of, write_rasters
from terradelta.products.report import Page, render_report
from terradelta.products.stac import stac_item
from terradelta.products.styles import qgis_style
from terradelta.products.summary import SUMMARY, LayerSummary, Summary, Tally, grid_summary, read_summary
from terradelta.types import PathType

__all__ = ["write"]

COMBINED = "combined"

_Add: TypeAlias = Callable[[Path, gpd.GeoDataFrame | None], Sequence[Extra]]


@dataclass(frozen=True)
class _Context:
    """What is the same for all folders of one result."""

    provenance: Provenance
    title: str
    minimum_area_m2: float
    add: _Add | None = None


def write(
    result: xr.Dataset | xr.DataArray | xr.DataTree | Mapping[str, xr.Dataset],
    out: PathType,
    *,
    provenance: Provenance | None = None,
    title: str = "",
    minimum_area_m2: float = 0.0,
    add: Callable[[Path, gpd.GeoDataFrame | None], Sequence[Extra]] | None = None,
) -> Path:
    """Write a result with everything that belongs to it into a folder.

    Rasters as COG with QGIS style and PNG map each, areas of change as GeoPackage and GeoParquet
    (when there is a ``change`` layer), a STAC item, ``report.html`` and ``summary.json``. Everything
    is made in a hidden folder inside ``out`` and renamed when whole, ``summary.json`` last: a folder
    that has it is complete. Files of an earlier result in the same folder are replaced.

    Parameters
    ----------
    result : Dataset, DataArray, DataTree or mapping of Dataset
        Variables named as in ``LAYERS``, (y, x) or (band, y, x), NumPy or dask, on one grid with a
        CRS. Of several named results ``"combined"`` goes to the top of ``out``, the others to
        folders of their names, e.g. ``"orbit-137-ascending"``.
    out : path-like
        Output folder; made when missing.
    provenance : Provenance, optional
        Kept in every file.
    title : str
        Heading of maps and report.
    minimum_area_m2 : float
        Smaller polygons are left out, m². Rasters are not affected.
    add : callable, optional
        Makes more files for the top folder, e.g. a video: called once with the folder that holds
        the finished rasters and with the polygons (None without a ``change`` layer), it writes its
        files there and returns an ``Extra`` for each, in the order of the report.

    Returns
    -------
    Path
        The output folder.

    Raises
    ------
    InputError
        An unknown or wrong layer, no georeference, a name that cannot be a folder, or an extra file
        that is missing, of an unknown kind, or named like a product.
    StorageError
        The folder cannot be written: no room, no permission.
    LockedError
        Another process is writing into it.

    Examples
    --------
    >>> import tempfile, numpy as np, odc.geo.xr
    >>> from odc.geo.geobox import GeoBox
    >>> grid = GeoBox.from_bbox((500000, 0, 500200, 200), "EPSG:32631", resolution=20)
    >>> change = odc.geo.xr.wrap_xr(np.eye(10, dtype="uint8"), grid).rename("change")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = write(change, folder)
    ...     round(read_summary(out).change.changed_share, 3)
    0.1
    """
    parts = _parts(result)
    context = _Context(provenance or Provenance(), title, minimum_area_m2, add)
    out = Path(out)
    with staging(out) as stage:
        summaries = [
            _write_folder(name, parts[name], stage / name, context) for name in parts if name != COMBINED
        ]
        _write_folder(COMBINED, parts[COMBINED], stage, context, summaries)
        with storing(out):
            _move(stage, out, [summary.name for summary in summaries])
    return out


def _parts(result: Any) -> dict[str, xr.Dataset]:
    if isinstance(result, xr.DataArray):
        if result.name is None:
            raise InputError(f"the array has no name; rename it to one of {', '.join(LAYERS)}")
        result = result.to_dataset()
    if isinstance(result, xr.Dataset):
        return {COMBINED: _north_up(result)}
    if isinstance(result, xr.DataTree):
        top = {COMBINED: result.to_dataset()} if result.data_vars else {}
        result = top | {str(name): node.to_dataset() for name, node in result.children.items()}
    if not isinstance(result, Mapping) or not result:
        raise InputError(f"a result is a dataset or named datasets, not {type(result).__name__}")
    for name, part in result.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise InputError(f"{name!r} cannot be the name of a folder; use letters, digits, '-' and '_'")
        if not isinstance(part, xr.Dataset):
            raise InputError(f"{name!r} is not a dataset but {type(part).__name__}")
    if COMBINED not in result:
        if len(result) > 1:
            raise InputError(
                f"no result named {COMBINED!r} among {', '.join(result)}; add one for the top folder"
            )
        return {COMBINED: _north_up(next(iter(result.values())))}
    return {name: _north_up(part) for name, part in result.items()}


def _north_up(dataset: xr.Dataset) -> xr.Dataset:
    """Flip rows that run from south to north: GeoTIFF readers expect the other way."""
    if grid_of(dataset).affine.e <= 0:
        return dataset
    return dataset.isel({dataset.odc.spatial_dims[0]: slice(None, None, -1)})


def _write_folder(
    name: str, dataset: xr.Dataset, folder: Path, context: _Context, parts: list[Summary] | None = None
) -> Summary:
    geobox = grid_of(dataset)
    tally = Tally(geobox)
    with storing(folder):
        folder.mkdir(exist_ok=True)
    layers = write_rasters(dataset, folder, context.provenance.tags(), tally)
    polygons, files = None, []
    if "change" in layers:
        with storing(folder):
            polygons = change_polygons(
                folder, geobox, folder, orbit=name, minimum_area_m2=context.minimum_area_m2
            )
        files = write_polygons(polygons, folder)
    summary = _summary(name, geobox, layers, tally, context, parts or [])
    summary.polygons = None if polygons is None else len(polygons)
    with storing(folder):
        pictures = _draw(folder, geobox, summary)
    rasters = [layer.file for layer in layers.values()]
    styles = [file.replace(".tif", ".qml") for file in rasters]
    summary.files = [*rasters, *files, *pictures, *styles, "report.html", "item.json", SUMMARY]
    extras = _add_extras(name, folder, polygons, context, summary.files)
    summary.files[-3:-3] = [extra.file for extra in extras]
    with storing(folder):
        page = Page(summary, pictures, polygons, parts or [], context.provenance.notes, extras, folder)
        (folder / "report.html").write_text(render_report(page), encoding="utf-8")
        (folder / SUMMARY).write_text(summary.model_dump_json(indent=2), encoding="utf-8")
        listed = [file for file in summary.files if file != "item.json"]
        item = stac_item(summary, geobox, folder, listed, {extra.file: extra.title for extra in extras})
        (folder / "item.json").write_text(json.dumps(item, indent=2), encoding="utf-8")
    return summary


def _add_extras(
    name: str, folder: Path, polygons: gpd.GeoDataFrame | None, context: _Context, taken: Sequence[str]
) -> Sequence[Extra]:
    if context.add is None or name != COMBINED:
        return ()
    extras = tuple(context.add(folder, polygons))
    check_extras(extras, folder, taken)
    return extras


def _summary(
    name: str,
    geobox: GeoBox,
    layers: Mapping[str, LayerSummary],
    tally: Tally,
    context: _Context,
    parts: list[Summary],
) -> Summary:
    origin = context.provenance
    tags = origin.tags()
    return Summary(
        name=name,
        title=context.title,
        created=origin.created,
        tool_version=origin.tool_version,
        method=origin.method,
        configuration=json.loads(tags["TERRADELTA_CONFIGURATION"]),
        inputs=json.loads(tags["TERRADELTA_INPUTS"]),
        acquisitions=json.loads(json.dumps(_acquisitions(name, origin), default=str)),
        grid=grid_summary(geobox),
        layers=dict(layers),
        change=tally.change(),
        dates=tally.dates(),
        parts=[part.name for part in parts],
    )


def _acquisitions(name: str, origin: Provenance) -> list[dict[str, Any]]:
    """Those of the orbit that a folder is named after; all where no orbit is told."""
    every = [dict(item) for item in origin.acquisitions]
    orbit = re.match(r"orbit-0*(\d+)", name)
    if orbit is None:
        return every
    return [item for item in every if re.match(rf"0*{orbit[1]}\b", str(item.get("orbit", "")))] or every


def _draw(folder: Path, geobox: GeoBox, summary: Summary) -> dict[str, bytes]:
    """Draw every layer and write its style; both use the same range of values."""
    note = " · ".join(
        part
        for part in (summary.method, " to ".join(summary.period or ()), f"terradelta {summary.tool_version}")
        if part
    )
    base: Preview | None = None
    pictures: dict[str, bytes] = {}
    for name, layer in summary.layers.items():
        previews = load_preview(folder / layer.file, geobox)
        base = previews[0] if name == "change" else base
        (folder / f"{name}.qml").write_text(qgis_style(LAYERS[name], previews[0].limits()), encoding="utf-8")
        for preview in previews:
            file = f"{name}-{preview.label}.png" if preview.label else f"{name}.png"
            below = base if LAYERS[name].kind == "date" else None
            pictures[file] = draw_map(preview, title=summary.title, note=note, base=below)
            (folder / file).write_bytes(pictures[file])
    return pictures


def _move(stage: Path, out: Path, parts: list[str]) -> None:
    """Put the finished files in place; the top summary goes away first and comes back last."""
    stale = _old_files(out)
    (out / SUMMARY).unlink(missing_ok=True)
    new = sorted(path.relative_to(stage) for path in stage.rglob("*") if path.is_file())
    for name in sorted(new, key=lambda path: (path.name == SUMMARY, len(path.parts) == 1)):
        publish(stage / name, out / name)
    for name in stale - set(new):
        (out / name).unlink(missing_ok=True)
        if len(name.parts) > 1 and name.parts[0] not in parts and not any((out / name.parts[0]).iterdir()):
            (out / name.parts[0]).rmdir()


def _old_files(out: Path) -> set[Path]:
    """Files that an earlier result left here, by its own list."""
    names: set[Path] = set()
    try:
        old = read_summary(out)
        names |= {Path(name) for name in old.files}
        for part in old.parts:
            names |= {Path(part) / name for name in read_summary(out / part).files}
    except InputError:
        pass
    return {
        name for name in names if not name.is_absolute() and ".." not in name.parts and (out / name).is_file()
    }
