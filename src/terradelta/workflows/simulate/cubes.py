"""A copy of a cube with changes in its radar images, and the truth about them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from terradelta.cube import append_all, create_cube, geobox_of, open_cube, write_weather
from terradelta.cube.arrays import write_grid
from terradelta.cube.files import read_json, storage_errors, write_json
from terradelta.cube.layers import write_layer
from terradelta.cube.locking import exclusive
from terradelta.cube.store import group_document, read_header
from terradelta.cube.transfer import acquisitions_of
from terradelta.errors import ConflictError, CubeError, InputError
from terradelta.land import Acquisition
from terradelta.sar.decibel import to_db
from terradelta.simulate.injected.single import check_recipe
from terradelta.workflows.progress import Progress, no_progress
from terradelta.workflows.simulate.recipes import ChosenLand, choose_land, recipe_of
from terradelta.workflows.simulate.series import ChangedImages, When
from terradelta.workflows.simulate.truth import InjectedTruth, read_table, write_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    from terradelta.land import LandSource
    from terradelta.simulate.injected import Recipe
    from terradelta.types import BoolArray, FloatArray
    from terradelta.workflows.config.simulate import SimulateChangeSettings

__all__ = ["ChangedCube", "change_cube"]

_LOG = logging.getLogger(__name__)
_MARK = "simulated_change"
_SUFFIXES = ("", ".zarr")


class ChangedCube(NamedTuple):
    """What was put into a cube.

    Attributes
    ----------
    images : ChangedImages
        The images, with one of them to show.
    truth : InjectedTruth
        Where, when, how much.
    bands : tuple of str
        Names of the bands.
    """

    images: ChangedImages
    truth: InjectedTruth
    bands: tuple[str, ...]


def change_cube(settings: SimulateChangeSettings, progress: Progress = no_progress) -> ChangedCube:
    """Copy a cube with changes in its radar images; the same settings again complete a run that was cut off.

    Layers, weather and optical images are copied as they are. Radar images without change are copied block by
    block; of those with change, and to find where they may lie, one is in memory at a time. The truth comes
    last: a cube with the layers ``truth/changed`` is whole.

    Parameters
    ----------
    settings : SimulateChangeSettings
        Both cubes, and what changes when.
    progress : callable
        See `show_progress`.

    Returns
    -------
    ChangedCube

    Raises
    ------
    InputError
        No forest is known, no image is taken while the changes are seen, or a setting does not fit the
        images; all of that is found out before anything is written.
    ConflictError
        Another cube is there, or one with other changes.
    LockedError, StorageError
        Another process holds the cube, or the disk refuses.
    """
    _check_paths(settings)
    tree = open_cube(settings.source)
    if "sar" not in tree.children:
        raise CubeError(f"{settings.source} holds no radar images; changes are put into these")
    bands = tuple(str(band) for band in tree["sar"].to_dataset()["band"].values)
    recipe, when = recipe_of(settings, cube=True), _when(settings, tree)
    check_recipe(recipe, len(bands), targetless=False)
    land = _land(settings, tree, recipe)
    mark = _mark(settings, recipe, when, land)
    _require_free(settings.out, tree, mark)
    images = _images(settings, tree, land, recipe, when)
    _create(settings.out, tree)
    _claim(settings.out, mark)
    if images.drawn.why:
        _LOG.warning("%s: %s", settings.out, images.drawn.why)
    _copy(tree, settings.out, images, progress)
    truth = InjectedTruth(images.mask, images.changes(), *when)
    _write_truth(tree, settings, truth, bands)
    return ChangedCube(images, truth, bands)


def _check_paths(settings: SimulateChangeSettings) -> None:
    if settings.source.resolve() == settings.out.resolve():
        raise InputError(f"{settings.out} is the cube to copy itself; name another one to write")
    if settings.out.suffix not in _SUFFIXES:
        raise InputError(
            f"{settings.out} ends in {settings.out.suffix}, but a cube with changes becomes a cube; "
            f"name a folder such as {settings.out.stem}.zarr"
        )


def _images(
    settings: SimulateChangeSettings, tree: xr.DataTree, land: ChosenLand, recipe: Recipe, when: When
) -> ChangedImages:
    """Draw the changes, and read what one image shall look like: what is missing is told before work."""
    allowed = _allowed(settings, tree, land)
    targets = _targets(settings, tree, land, allowed, recipe)
    sar = tree["sar"].to_dataset()
    images = ChangedImages(sar, allowed, recipe, seed=settings.seed, when=when, targets=targets)
    if targets is not None and images.drawn.centres:
        targets(int(np.argmax(images.share)))
    return images


def _when(settings: SimulateChangeSettings, tree: xr.DataTree) -> When:
    times = np.sort(tree["sar"].to_dataset()["time"].values.astype("datetime64[ns]"))
    date = np.datetime64(settings.date) if settings.date else times[len(times) // 2].astype("datetime64[D]")
    until = np.datetime64(settings.until) if settings.until else None
    if until is not None and until <= date:
        raise InputError(f"until is {until}, not after date ({date}); give a later day")
    if not ((times >= date) & (until is None or times < until)).any():
        span = f"{str(times[0])[:10]} to {str(times[-1])[:10]}"
        raise InputError(
            f"no image is taken from {date} until {until or 'the end'} (images: {span}); give another date"
        )
    return When(date, until, settings.gradual_days)


def _mark(settings: SimulateChangeSettings, recipe: Recipe, when: When, land: ChosenLand) -> dict[str, Any]:
    """Tell all that the changes follow from."""
    told: dict[str, Any] = {**recipe.to_dict(), "seed": settings.seed, "inside": settings.inside}
    told |= {"date": str(when.date), "until": "" if when.until is None else str(when.until)}
    told |= {"gradual_days": when.gradual_days}
    if recipe.kind == "statistical":
        told |= {"areas": settings.areas, "target": land.name or "pixels of the images outside the mask"}
    return told


def _create(cube: Path, tree: xr.DataTree) -> None:
    create_cube(cube, geobox_of(tree), name=str(tree.attrs.get("name", "")))


def _require_free(cube: Path, tree: xr.DataTree, mark: dict[str, Any]) -> None:
    """Refuse what is there and cannot be gone on with."""
    if cube.exists():
        _create(cube, tree)
        _is_marked(cube, mark)


def _claim(cube: Path, mark: dict[str, Any]) -> None:
    """Mark a new cube with its changes, and refuse one that has others or was made otherwise."""
    folder = cube / "truth"
    with storage_errors(cube), exclusive(cube):
        if not _is_marked(cube, mark):
            write_grid(folder, read_header(cube).geobox)
            write_json(folder / "zarr.json", group_document({_MARK: mark}))


def _is_marked(cube: Path, mark: dict[str, Any]) -> bool:
    """Tell whether a cube is a copy with these changes; False = still empty."""
    stored = read_json(cube / "truth" / "zarr.json")
    if stored is None:
        if (cube / "sar" / "zarr.json").exists():
            raise ConflictError(f"{cube} is there, and is no copy with changes; choose another path")
        return False
    known = stored.get("attributes", {}).get(_MARK)
    if known is None:
        raise ConflictError(f"{cube} is there, and is no copy with changes; choose another path")
    if known != mark:
        other = [key for key in mark if known.get(key) != mark[key]]
        values = ", ".join(f"{key} {known.get(key)!r}, now {mark[key]!r}" for key in other[:3])
        whole = (cube / "truth" / "changed" / "zarr.json").exists()
        cure = "choose another path" if whole else "it is not whole: remove it, or choose another path"
        raise ConflictError(f"{cube} holds other changes ({values}); {cure}")
    return True


def _land(settings: SimulateChangeSettings, tree: xr.DataTree, recipe: Recipe) -> ChosenLand:
    """Open the land cover, if it is needed at all."""
    known = "static" in tree.children and settings.inside in tree["static"]
    if known and recipe.kind != "statistical":
        return ChosenLand(None, "")
    return choose_land(settings, settings.source, tree)


def _allowed(settings: SimulateChangeSettings, tree: xr.DataTree, land: ChosenLand) -> BoolArray:
    """Tell where changes may lie; not where the images have known changes already."""
    static = tree["static"].to_dataset() if "static" in tree.children else None
    if static is not None and settings.inside in static:
        allowed = np.asarray(static[settings.inside].values == 1)
    elif settings.inside == "forest" and land.source is not None:
        allowed = np.asarray(land.source.forest(geobox_of(tree)))
    else:
        raise _no_layer(settings, [] if static is None else list(map(str, static.data_vars)))
    if "truth" in tree.children and "changed" in tree["truth"]:
        allowed &= tree["truth"]["changed"].values == 0
    return allowed


def _no_layer(settings: SimulateChangeSettings, known: list[str]) -> InputError:
    has = f"{settings.source} has no layer {settings.inside}"
    if settings.inside == "forest":
        return InputError(
            f"{has}, and no land cover is given; write the layer (terradelta.cube.write_static), or give "
            "land or database"
        )
    return InputError(f"{has}; choose inside from {', '.join(known) or 'layers that you write first'}")


def _targets(
    settings: SimulateChangeSettings, tree: xr.DataTree, land: ChosenLand, allowed: BoolArray, recipe: Recipe
) -> Callable[[int], FloatArray] | None:
    if recipe.kind != "statistical":
        return None
    if land.source is None:
        _LOG.warning("no land given: forest is made to look like the other pixels of each image")
        return lambda image: _own(tree, image, ~allowed)
    return _open_land(settings, tree, land.source)


def _own(tree: xr.DataTree, image: int, other: BoolArray) -> NDArray[np.float32]:
    decibel = to_db(tree["sar"]["backscatter"].transpose("time", "band", "y", "x")[image].values)
    pixels = decibel[:, other & np.isfinite(decibel).all(axis=0)]
    if not pixels.size:
        raise InputError(
            "all pixels with data are forest, so no open land tells what it shall look like; give land"
        )
    return pixels


def _open_land(
    settings: SimulateChangeSettings, tree: xr.DataTree, source: LandSource
) -> Callable[[int], FloatArray]:
    """Read the open areas nearest to the middle of the cube in each image."""
    from pyproj import Transformer

    geobox, sar = geobox_of(tree), tree["sar"].to_dataset()
    height, width = geobox.shape
    move = Transformer.from_crs(str(geobox.crs), source.crs, always_xy=True)
    areas = source.nearest(*move.transform(*(geobox.affine @ (width / 2, height / 2))), settings.areas)
    times = np.datetime_as_string(sar["time"].values.astype("datetime64[ns]"))

    def read(image: int) -> FloatArray:
        acquisition = Acquisition(
            str(times[image]), str(sar["platform"].values[image]), int(sar["relative_orbit"].values[image])
        )
        decibel = to_db(source.pixels(areas, acquisition))
        pixels = decibel[:, np.isfinite(decibel).all(axis=0)]
        if not pixels.size:
            raise InputError(
                f"the image of {times[image][:19]} shows no pixel of the nearest open areas; give more areas"
            )
        return pixels

    return read


def _copy(tree: xr.DataTree, out: Path, images: ChangedImages, progress: Progress) -> None:
    if "static" in tree.children:
        for name, layer in tree["static"].to_dataset().data_vars.items():
            write_layer(out, "static", str(name), layer.data, dict(layer.attrs))
    if "weather" in tree.children:
        write_weather(out, tree["weather"].to_dataset().load())
    if "optical" in tree.children:
        _LOG.warning("optical images are copied as they are: they do not show the changes")
        append_all(out, acquisitions_of(tree["optical"].to_dataset(), "optical"))
    with progress("changing images", len(images.share)) as advance:
        append_all(out, images.acquisitions(advance))


def _write_truth(
    tree: xr.DataTree, settings: SimulateChangeSettings, truth: InjectedTruth, bands: tuple[str, ...]
) -> None:
    geobox, out = geobox_of(tree), settings.out
    before = tree["truth"].to_dataset() if "truth" in tree.children else None
    layers = truth.layers(geobox, before)
    write_table(out, truth.table(geobox, bands, read_table(settings.source)))
    for name in [*(name for name in layers.data_vars if name != "changed"), "changed"]:
        write_layer(out, "truth", str(name), layers[name].values, dict(layers[name].attrs))
