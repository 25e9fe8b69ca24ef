"""Groups of networks on a place: each one by itself, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.evaluate.urban.networks import Watch, load_networks
from terradelta.evaluate.urban.site.labels import SiteLabels
from terradelta.evaluate.urban.site.scoring import UrbanScores, urban_scores
from terradelta.learning.run import Run
from terradelta.types import FloatArray, PathType

if TYPE_CHECKING:
    from terradelta.urban import ERCNN

__all__ = ["Group", "Judged", "Network", "judge_group", "load_group", "require_alike"]

_MODEL = "model"
_WINDOWS = ("step", "window", "fewest", "most")


@dataclass(frozen=True, eq=False)
class Network:
    """A network and where it came from.

    Attributes
    ----------
    name : str
        Short name.
    net : ERCNN
        The network.
    run : Path or None
        Folder of its training, if that is known.
    """

    name: str
    net: ERCNN
    run: Path | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """Networks of one kind, such as those after transfer.

    Attributes
    ----------
    name : str
        Of the kind.
    networks : tuple of Network
        Of one era and the same branches.
    """

    name: str
    networks: tuple[Network, ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """What a network, or the mean of several, says on the tiles of a place.

    Attributes
    ----------
    group, name : str
        Which one.
    score : ndarray
        (tile, y, x) largest value over all windows, 0..1.
    day : ndarray
        (tile, y, x) middle of the window of that value, days since 1970-01-01.
    stitched : UrbanScores
        Of all pixels of the tiles together.
    tiles : tuple of UrbanScores or None
        Of each tile alone; None where none of its pixels is labelled.
    windows : int
        Windows over the period.
    fewest, most : int
        Observations that they hold.
    """

    group: str
    name: str
    score: FloatArray
    day: NDArray[Any]
    stitched: UrbanScores
    tiles: tuple[UrbanScores | None, ...]
    windows: int
    fewest: int
    most: int


def load_group(name: str, weights: Sequence[PathType]) -> Group:
    """Load networks.

    Parameters
    ----------
    name : str
        What they are called together.
    weights : sequence of path
        Files of published weights, folders of ``save_pretrained``, or run folders of a training.

    Returns
    -------
    Group

    Raises
    ------
    InputError
        If there is none, or a file is no network.
    """
    runs = [_run_of(Path(path)) for path in weights]
    models = [
        path if run is None else run / _MODEL for path, run in zip(map(Path, weights), runs, strict=True)
    ]
    names = [path.stem if run is None else run.name for path, run in zip(models, runs, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{number} ({one})" for number, one in enumerate(names, 1)]
    return Group(name, tuple(map(Network, names, load_networks(models), runs)))


def _run_of(path: Path) -> Path | None:
    """Find the run folder that a path names, itself or by its model."""
    run = path.parent if path.name == _MODEL else path
    return run if Run(run).config.is_file() and Run(run).model.is_dir() else None


def require_alike(groups: Sequence[Group]) -> None:
    """Refuse networks that cannot be judged together.

    Parameters
    ----------
    groups : sequence of Group
        All groups.

    Raises
    ------
    InputError
        If their eras differ; or, within a group, their windows or branches.
    """
    first = groups[0].networks[0]
    for group in groups:
        own = group.networks[0]
        for one in group.networks:
            if one.net.era.name != first.net.era.name:
                raise InputError(
                    f"the networks {first.name} ({first.net.era.name}) and {one.name} ({one.net.era.name}, "
                    f"{group.name}) are of different eras; give networks of one era"
                )
            for what in _WINDOWS:
                values = [getattr(each.net.era, what) for each in (own, one)]
                if values[0] != values[1]:
                    raise InputError(
                        f"the networks {own.name} and {one.name} ({group.name}) see different windows: "
                        f"{what} is {values[0]} and {values[1]}; give each kind in a run of its own"
                    )
            if one.net.branches != own.net.branches:
                raise InputError(
                    f"the networks {own.name} ({own.net.branches}) and {one.name} ({one.net.branches}) "
                    f"{group.name} read different sensors; give each kind in a run of its own"
                )


def judge_group(
    cube: xr.DataTree,
    group: Group,
    labels: SiteLabels,
    how: Watch,
    store: Path,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Judged]:
    """Judge each network of a group, and their mean.

    Parameters
    ----------
    cube : xarray.DataTree
        The place.
    group : Group
        Networks.
    labels : SiteLabels
        Period, labels and tiles.
    how : Watch
        Stride and device.
    store : Path
        Folder for the window maps of each network. Maps that are there are completed, those of other
        settings, networks or observations replaced.
    advance : callable
        Told of each network that is done.

    Returns
    -------
    list of Judged
        In the order of the networks; at the end, of several, that of the mean of their maps.

    Raises
    ------
    CubeError, InputError
        From `terradelta.urban.monitor`.
    """
    every = []
    for number, one in enumerate(group.networks):
        every.append(_watch(cube, one, labels, how, store / f"{number}.zarr"))
        advance(1)
    names = [one.name for one in group.networks]
    if len(every) > 1:
        total = reduce(add, (maps.astype(np.float64) for maps in every))
        every.append((total / len(every)).astype(np.float32))
        names.append(f"mean of {len(names)}")
    return [_judge(group.name, name, maps, labels) for name, maps in zip(names, every, strict=True)]


def _watch(cube: xr.DataTree, one: Network, labels: SiteLabels, how: Watch, store: Path) -> xr.DataArray:
    from terradelta.urban import monitor

    return monitor(
        cube,
        one.net,
        stride=how.stride,
        device=how.device,
        precision=how.precision,
        start=labels.start,
        end=labels.end,
        store=store,
        overwrite=True,
    )


def _judge(group: str, name: str, maps: xr.DataArray, labels: SiteLabels) -> Judged:
    from terradelta.urban import whole_period

    period = whole_period(maps).load()
    score, truth = labels.cut(period["score"].values), labels.cut(labels.truth)
    count = maps["count"].values
    return Judged(
        group,
        name,
        score,
        labels.cut(period["date"].values),
        urban_scores(truth, score),
        tuple(_of_tiles(truth, score)),
        maps.sizes["window"],
        int(count.min()),
        int(count.max()),
    )


def _of_tiles(truth: NDArray[np.uint8], score: FloatArray) -> Iterator[UrbanScores | None]:
    for real, values in zip(truth, score, strict=True):
        try:
            yield urban_scores(real, values)
        except InputError:
            yield None
