"""Weak labels: from what a person drew to a folder that training reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube import geobox_of, open_cube
from terradelta.cube.files import read_json, write_json
from terradelta.cube.grid import describe_grid, grid_document, grid_from
from terradelta.errors import ConflictError, CubeError, InputError
from terradelta.products.files import publish, staging
from terradelta.sources.labels import LabelChoice, files_of, read_area, read_labels
from terradelta.urban.labels.weak import CHANGED, NOT_LABELLED, WeakLabels
from terradelta.windows import Tile, TileGrid, TileLists, format_tiles, parse_tiles, versions
from terradelta.workflows.config.label import LabelSettings
from terradelta.workflows.progress import Progress, no_progress

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.types import PathType

__all__ = ["read_weak", "run_weak", "summary_line"]

_TRUTH, _PICTURE, _DOCUMENT = "truth.tif", "labels.png", "labels.json"
_SYNTHETIC = "labels.zarr"
_FORMAT, _FORMAT_VERSION = "terradelta weak labels", 1
_READ = ("format_version", "grid", "start", "end", "tile")
_PUBLISHED = (120, 32, 32)
_COLOURS = {0: (222, 226, 230, 255), CHANGED: (203, 24, 29, 255), NOT_LABELLED: (0, 0, 0, 0)}
_BLOCK = 256
_MEANT = {
    "start", "end", "layer", "dates", "where", "all_touched", "tile", "order", "counts", "versions", "guard",
    "seed",
}  # fmt: skip


def run_weak(settings: LabelSettings, progress: Progress = no_progress) -> Path:
    """Bring labels onto the grid of a cube, and choose the tiles to train, validate and test with.

    The same command again leaves everything as it is.

    Parameters
    ----------
    settings : LabelSettings
        What to do; its method is polygons.
    progress : callable
        See `show_progress`.

    Returns
    -------
    Path
        The folder, with ``truth.tif``, ``labels.json``, ``tiles_V1_train.txt``, ``tiles_V1_validation.txt``
        and so on, ``tiles_test.txt`` and ``labels.png``.

    Raises
    ------
    ConflictError
        If labels of other settings or sources are there and `overwrite` is not set, or synthetic ones.
    SourceError, InputError
        If labels or lists cannot be read, are off the grid or outside the period of the cube, nothing can be
        learnt from them, or so many tiles do not fit.
    CubeError, LockedError, StorageError
        If the cube cannot be used, another process writes into the folder, or it cannot be written.
    """
    if (settings.out / _SYNTHETIC).exists():
        raise ConflictError(f"{settings.out} holds synthetic labels; choose another folder")
    tree = open_cube(settings.cube)
    geobox, times = geobox_of(tree), _times(tree)
    settings = _with_period(settings, times)
    origin = _origin(settings, geobox)
    if _is_done(settings, origin):
        return settings.out
    with progress("labels", 3) as advance:
        labels = _labels(settings, geobox)
        labels.check_period(times)
        advance(1)
        labels = _with_versions(settings, labels)
        labels.check()
        advance(1)
        _write(settings.out, labels, tree, _document(labels, origin))
        advance(1)
    return settings.out


def read_weak(folder: PathType) -> WeakLabels:
    """Read weak labels.

    Parameters
    ----------
    folder : path-like
        From `run_weak`. Lists and truth may have been edited since.

    Returns
    -------
    WeakLabels
        Checked.

    Raises
    ------
    InputError
        If something is missing or damaged, or the labels cannot be used as they are.
    """
    path = Path(folder)
    document = read_json(path / _DOCUMENT)
    if document is None or document.get("format") != _FORMAT:
        raise InputError(
            f"{path} holds no weak labels ({_DOCUMENT}); make them: terradelta label CUBE {path} "
            "--method polygons"
        )
    lacking = [name for name in _READ if name not in document]
    if lacking:
        raise InputError(f"{path / _DOCUMENT} lacks {', '.join(lacking)}; make the labels again")
    if document["format_version"] > _FORMAT_VERSION:
        raise InputError(
            f"{path} has format {document['format_version']}, this terradelta reads up to "
            f"{_FORMAT_VERSION}: upgrade terradelta"
        )
    geobox = grid_from(document["grid"])
    truth = _read_truth(path / _TRUTH, geobox)
    start, end = (np.datetime64(document[name], "D") for name in ("start", "end"))
    found = _read_lists(path)
    try:
        labels = WeakLabels(truth, start, end, int(document["tile"]), found, geobox)
        labels.check()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return labels


def _read_truth(file: Path, geobox: GeoBox) -> NDArray[np.uint8]:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(file) as source:
            truth: NDArray[np.uint8] = source.read(1)
            placed = source.crs is None or source.transform.almost_equals(geobox.transform)
    except RasterioError as error:
        raise InputError(f"{file} cannot be read ({error}); make the labels again") from error
    if truth.shape != tuple(geobox.shape):
        raise InputError(
            f"{file} has {truth.shape[0]} x {truth.shape[1]} pixels, its cube {describe_grid(geobox)}; make "
            "the labels again"
        )
    if not placed:
        raise InputError(
            f"{file} lies elsewhere than its labels were made, {describe_grid(geobox)}; make them again"
        )
    return truth


def summary_line(folder: Path) -> str:
    """Say in one line what weak labels there are.

    Parameters
    ----------
    folder : Path
        From `run_weak`.

    Returns
    -------
    str
        Tiles, share of changes, lists.
    """
    labels = read_weak(folder)
    shares = labels.shares
    first = labels.versions[0]
    names = "V1" if len(labels.versions) == 1 else f"V1 to V{len(labels.versions)}"
    changed = sum(share > 0 for share in shares.values())
    return (
        f"{folder}: {len(shares):,} of {len(labels.grid.tiles):,} tiles labelled, {changed:,} with changes; "
        f"{labels.changed_share:.2%} of the pixels changed from {labels.start} to {labels.end}; {names}: "
        f"{len(first.train)} tiles to train, {len(first.validation)} to validate, {len(first.test)} to test; "
        f"look at {folder / _PICTURE}"
    )


# what is asked for


def _times(tree: xr.DataTree) -> NDArray[np.datetime64]:
    """Give the times of all images, UTC."""
    found = [tree[name]["time"].values for name in ("sar", "optical") if name in tree.children]
    times: NDArray[np.datetime64] = np.concatenate([np.array([], "M8[ns]"), *found])
    if not times.size:
        raise CubeError("the cube holds no image: labels have no period; add images first")
    return times


def _with_period(settings: LabelSettings, times: NDArray[np.datetime64]) -> LabelSettings:
    """Put in the first and the last day of the cube where none was given."""
    first, last = (str(time.astype("M8[D]")) for time in (times.min(), times.max()))
    return settings.model_copy(update={"start": settings.start or first, "end": settings.end or last})


def _origin(settings: LabelSettings, geobox: GeoBox) -> dict[str, Any]:
    """Tell all that the labels follow from."""
    meant = settings.model_dump(mode="json", include=_MEANT)
    files = {
        name: [{"name": file.name, "sha256": _digest(file)} for file in of(path)]
        for name, path, of in (
            ("source", settings.source, files_of),
            ("area", settings.area, files_of),
            ("lists", settings.lists, _list_files),
        )
        if path is not None and path.exists()
    }
    return meant | files | {"grid": grid_document(geobox)}


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_done(settings: LabelSettings, origin: Mapping[str, Any]) -> bool:
    """Tell whether these labels are there already; refuse others."""
    stored = (read_json(settings.out / _DOCUMENT) or {}).get("made_from")
    if stored is None:
        return False
    different = sorted(name for name in {*stored, *origin} if stored.get(name) != origin.get(name))
    if not different:
        return (settings.out / _TRUTH).exists() and (settings.out / _PICTURE).exists()
    if settings.overwrite:
        return False
    raise ConflictError(
        f"{settings.out} holds labels that were made otherwise ({', '.join(different)}); choose another "
        "folder, or replace them with overwrite"
    )


def _labels(settings: LabelSettings, geobox: GeoBox) -> WeakLabels:
    choice = LabelChoice(
        layer=settings.layer, dates=tuple(settings.dates), start=settings.start, end=settings.end,
        where=settings.where, all_touched=settings.all_touched, tile=settings.tile, order=settings.order,
    )  # fmt: skip
    truth = read_labels(settings.source or Path(), geobox, choice)
    if settings.area is not None:
        truth[~read_area(settings.area, geobox)] = NOT_LABELLED
    start, end = (np.datetime64(day or "NaT", "D") for day in (settings.start, settings.end))
    labels = WeakLabels(truth, start, end, settings.tile, (), geobox)
    labels.check()
    return labels


# tiles to train, validate and test with


def _with_versions(settings: LabelSettings, labels: WeakLabels) -> WeakLabels:
    if settings.lists is None:
        drawn = _drawn(settings, labels.grid, labels.shares)
    else:
        drawn = _read_lists(settings.lists, turned=settings.order == "column-row")
    return WeakLabels(labels.truth, labels.start, labels.end, labels.tile, drawn, labels.geobox)


def _drawn(settings: LabelSettings, grid: TileGrid, shares: Mapping[Tile, float]) -> tuple[TileLists, ...]:
    wanted = [tuple(settings.counts)] if settings.counts else list(_smaller(settings.versions))
    for counts in wanted:
        train, validation, test = counts
        try:
            return versions(
                grid, (train, validation, test), seed=settings.seed, guard=settings.guard, share=shares,
                count=settings.versions,
            )  # fmt: skip
        except InputError:
            if counts is wanted[-1]:
                raise
    raise InputError("no number of tiles was asked for; give counts")


def _smaller(count: int) -> Iterable[tuple[int, int, int]]:
    """Give the published numbers of tiles, and ever fewer in their proportion."""
    least = max(count - 1, 1)
    train = max(_PUBLISHED[0], least)
    while True:
        validation, test = (max(part * train // _PUBLISHED[0], 1) for part in _PUBLISHED[1:])
        yield train, min(validation, train // least), test
        if train == least:
            return
        train = max(min(train - 1, train * 9 // 10), least)


def _list_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("tiles_*.txt"))


def _read_lists(folder: Path, *, turned: bool = False) -> tuple[TileLists, ...]:
    """Read the lists of a folder, under the names that are written here or under the published ones."""
    test = _one_list(folder, "tiles_*test*.txt", turned)
    found: list[TileLists] = []
    while (folder / f"tiles_V{len(found) + 1}_train.txt").exists():
        name = f"tiles_V{len(found) + 1}"
        train = _one_list(folder, f"{name}_train.txt", turned)
        found.append(TileLists(train, _one_list(folder, f"{name}_val*.txt", turned), test))
    if not found:
        raise InputError(
            f"{folder} holds no tiles_V1_train.txt; write such a list, a tile (row:column) a line"
        )
    return tuple(found)


def _one_list(folder: Path, pattern: str, turned: bool) -> tuple[Tile, ...]:
    files = sorted(folder.glob(pattern))
    if not files:
        raise InputError(f"{folder} holds no list {pattern}; write one, a tile (row:column) a line")
    if len(files) > 1:
        raise InputError(f"{folder} holds {len(files)} lists {pattern}; keep one")
    try:
        tiles = parse_tiles(files[0].read_text(encoding="utf-8"))
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{files[0]}: {error}") from None
    return tuple(Tile(tile.column, tile.row) for tile in tiles) if turned else tiles


# the folder


def _document(labels: WeakLabels, origin: Mapping[str, Any]) -> dict[str, Any]:
    truth, shares = labels.truth, labels.shares
    return {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "start": str(labels.start),
        "end": str(labels.end),
        "tile": labels.tile,
        "grid": origin["grid"],
        "versions": len(labels.versions),
        "counts": {
            "changed": int((truth == CHANGED).sum()),
            "not_changed": int((truth == 0).sum()),
            "not_labelled": int((truth == NOT_LABELLED).sum()),
            "tiles": len(labels.grid.tiles),
            "tiles_labelled": len(shares),
            "tiles_changed": sum(share > 0 for share in shares.values()),
        },
        "made_from": dict(origin),
    }


def _write(out: Path, labels: WeakLabels, tree: xr.DataTree, document: dict[str, Any]) -> None:
    """Write all beside, then move it; the document goes first and comes last: with it the folder is whole."""
    from terradelta.workflows.label.picture import draw_labels

    with staging(out) as stage:
        _write_truth(stage / _TRUTH, labels)
        for name, tiles in _lists(labels.versions).items():
            (stage / name).write_text(format_tiles(tiles), encoding="utf-8")
        (stage / _PICTURE).write_bytes(draw_labels(labels, tree))
        (out / _DOCUMENT).unlink(missing_ok=True)
        for stale in _list_files(out):
            stale.unlink()
        for file in sorted(stage.iterdir()):
            publish(file, out / file.name)
        write_json(out / _DOCUMENT, document)


def _lists(found: tuple[TileLists, ...]) -> dict[str, tuple[Tile, ...]]:
    lists = {"tiles_test.txt": found[0].test}
    for number, version in enumerate(found, 1):
        lists[f"tiles_V{number}_train.txt"] = version.train
        lists[f"tiles_V{number}_validation.txt"] = version.validation
    return lists


def _write_truth(file: Path, labels: WeakLabels) -> None:
    import rasterio

    from terradelta.products.area import wkt_of
    from terradelta.products.files import storing

    geobox = labels.geobox
    if geobox is None:
        raise InputError("the labels have no grid; give a GeoBox")
    height, width = labels.truth.shape
    with storing(file), rasterio.open(
        file, "w", driver="COG", dtype="uint8", count=1, height=height, width=width, nodata=NOT_LABELLED,
        crs=wkt_of(geobox), transform=geobox.affine, compress="deflate", blocksize=_BLOCK,
        overview_resampling="nearest",
    ) as target:  # fmt: skip
        target.write(labels.truth, 1)
        target.write_colormap(1, _COLOURS)
        target.set_band_description(
            1, f"1 changed from {labels.start} to {labels.end}, 0 not, 255 not labelled"
        )
