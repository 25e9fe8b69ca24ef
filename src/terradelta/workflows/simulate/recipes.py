"""From settings to a recipe, and to a source of land cover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from terradelta.errors import InputError
from terradelta.simulate.injected import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from terradelta.land import LandSource
    from terradelta.workflows.config.simulate import SimulateChangeSettings

__all__ = ["ChosenLand", "choose_land", "recipe_of"]


class ChosenLand(NamedTuple):
    """A source of land cover.

    Attributes
    ----------
    source : LandSource or None
        None if there is none.
    name : str
        Names it in digests and in the truth.
    """

    source: LandSource | None
    name: str


def recipe_of(settings: SimulateChangeSettings, *, cube: bool) -> Recipe:
    """Give the recipe that settings tell.

    Parameters
    ----------
    settings : SimulateChangeSettings
        Kind, strength, number, outline.
    cube : bool
        Whether all changes go into one cube, which then gets as many as are asked for.

    Returns
    -------
    Recipe
    """
    fewest = settings.fewest
    if fewest is None:
        fewest = settings.most if cube else 0
    return Recipe(
        kind=settings.kind,
        offset=_single(settings.offset),
        count=(fewest, settings.most),
        box=settings.box,
        superpixels=settings.superpixels,
        mapping=settings.mapping,
        gaussian_shift=_single(settings.gaussian_shift),
        gaussian_spread=settings.gaussian_spread,
    )


def _single(values: Sequence[float]) -> float | tuple[float, ...]:
    return values[0] if len(values) == 1 else tuple(values)


def choose_land(settings: SimulateChangeSettings, cube: Path | None, tree: xr.DataTree | None) -> ChosenLand:
    """Choose where land cover comes from: a vector file, a database, or the cube's own layer.

    Parameters
    ----------
    settings : SimulateChangeSettings
        What was asked for.
    cube : Path or None
        The cube with the radar images.
    tree : DataTree or None
        The same, opened.

    Returns
    -------
    ChosenLand

    Raises
    ------
    InputError
        A vector file without a cube to read the radar pixels from.
    """
    if settings.land is not None:
        if cube is None:
            raise InputError(
                f"land cover comes from {settings.land}, but no cube tells what the radar saw there; "
                "name the cube that the samples were drawn from with radar"
            )
        from terradelta.land import VectorLand

        options: dict[str, Any] = {"layer": settings.land_layer, "class_column": settings.class_column}
        options["classes"] = _classes(settings.land_classes) or None
        return ChosenLand(VectorLand(settings.land, cube, **options), f"file {settings.land.name}")
    if settings.database is not None:
        from terradelta.land.postgis import PostgisLand

        url = None if settings.database == "environment" else settings.database
        land = PostgisLand(url, place=settings.database_place, dataset=settings.database_land)
        name = " ".join(("database", settings.database_place, settings.database_land))
        return ChosenLand(land, name.strip())
    if tree is not None and "static" in tree.children and "land_cover" in tree["static"]:
        from terradelta.land import LayerLand

        return ChosenLand(LayerLand(tree), "land cover of the cube")
    return ChosenLand(None, "")


def _classes(pairs: Sequence[str]) -> dict[Any, str]:
    """Read what values mean; a number is taken as text and as number, whichever the column holds."""
    classes: dict[Any, str] = {}
    for pair in pairs:
        value, _, name = pair.rpartition("=")
        classes[value.strip()] = name.strip()
        if value.strip().isdecimal():
            classes[int(value)] = name.strip()
    return classes
