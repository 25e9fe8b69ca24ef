"""Teaching a network: from labelled cubes to a model, and from there to the model of a place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from terradelta.cube import geobox_of, open_cube
from terradelta.cube.grid import describe_grid, grid_from
from terradelta.errors import InputError
from terradelta.learning.run import Run
from terradelta.types import PathType
from terradelta.urban.era import S1S2, Era
from terradelta.urban.labels.weak import WeakLabels
from terradelta.urban.network import ERCNN
from terradelta.urban.stack import Stack
from terradelta.urban.training.batch import collate
from terradelta.urban.training.config import PretrainConfig, TransferConfig
from terradelta.urban.training.data import LabelledCube, Part, PretrainTiles, TransferTiles
from terradelta.urban.training.frames import TileFrames
from terradelta.urban.training.labelled import labelled_windows
from terradelta.windows import TileLists

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from torch.utils.data import Dataset

    from terradelta.learning.fitting import FitResult
    from terradelta.urban.training.task import UrbanTask

__all__ = ["pretrain", "transfer"]

_Advance: TypeAlias = Callable[[str, int], Any]
_EXAMPLES = 4
_FOR_TRAINING = 0.75
"""Share of the memory; validation has the rest."""


def pretrain(
    sources: Sequence[LabelledCube],
    config: PretrainConfig,
    run: Run | PathType,
    *,
    resume: PathType | None = None,
    weights_only: bool = False,
    overwrite: bool = False,
    progress: _Advance | None = None,
) -> tuple[ERCNN, FitResult]:
    """Teach a new network with synthetic labels, or go on where that was stopped.

    Tiles of a checkerboard train, others validate; see `terradelta.windows.checkerboard`.

    Parameters
    ----------
    sources : sequence of LabelledCube
        Cubes and their labels.
    config : PretrainConfig
        What to train, and how.
    run : Run or path-like
        Folder of the run.
    resume : path-like, optional
        Run folder or checkpoint to begin from, if this run was not begun yet.
    weights_only : bool
        Take its weights only, not the state of the optimiser.
    overwrite : bool
        Replace a run of other settings or data.
    progress : callable, optional
        Takes a label and a number of steps.

    Returns
    -------
    tuple
        The best network of the run, ready for inference, which is also in its folder ``model``; and how the
        training went.

    Raises
    ------
    InputError, CubeError
        Data or settings cannot be used; a loss is no number.
    ConflictError
        The run was begun with other settings or data.
    LockedError
        Another process trains there.
    TrainingStopped
        After SIGINT or SIGTERM; the same call goes on.
    """
    from terradelta.learning.fitting import require_lightning, seeded

    require_lightning()
    run = run if isinstance(run, Run) else Run(run)
    _require_grids(sources)
    _require_windows(sources, config.era)
    train, check = _windows(sources, "train", config), _windows(sources, "validation", config)
    with seeded(config.options.seed):
        net = ERCNN(config.era, config.branches, recurrent_dropout=config.recurrent_dropout)
    names = ", ".join(source.name or "a cube" for source in sources)
    told = f"taught with synthetic labels of {names}"
    given = {"cubes": _source_digests(sources, config), "samples": [len(train), len(check)]}
    origin = {} if resume is None else {"resume": str(resume), "resume_weights_only": weights_only}
    teaching = _Teaching(run, net, config, train, check, {**config.to_dict(), **origin}, given)
    return teaching.run_through(
        told,
        overwrite=overwrite,
        resume=None if resume is None else Path(resume),
        weights_only=weights_only,
        progress=progress,
    )


def transfer(
    cube: xr.DataTree,
    weak: WeakLabels,
    lists: TileLists,
    net: ERCNN | None,
    config: TransferConfig,
    run: Run | PathType,
    *,
    overwrite: bool = False,
    progress: _Advance | None = None,
) -> tuple[ERCNN, FitResult]:
    """Teach a network what changes look like in a place, or go on where that was stopped.

    Parameters
    ----------
    cube : xarray.DataTree
        The place.
    weak : WeakLabels
        Where something changed within a period.
    lists : TileLists
        Tiles to train on and to validate with, such as one of ``weak.versions``.
    net : ERCNN or None
        Where to begin, it stays as it is; None: random weights, by the seed.
    config : TransferConfig
        What to train, and how.
    run : Run or path-like
        Folder of the run.
    overwrite : bool
        Replace a run of other settings or data.
    progress : callable, optional
        Takes a label and a number of steps.

    Returns
    -------
    tuple
        The best network of the run, ready for inference, which is also in its folder ``model``; and how the
        training went.

    Raises
    ------
    InputError, CubeError
        Data or settings cannot be used: labels of another grid, a network of another era, tiles that are not
        there, a period that is too short; or a loss is no number.
    ConflictError
        The run was begun with other settings or data.
    LockedError
        Another process trains there.
    TrainingStopped
        After SIGINT or SIGTERM; the same call goes on.
    """
    from terradelta.learning.fitting import require_lightning

    require_lightning()
    run = run if isinstance(run, Run) else Run(run)
    start = _starting(net, config)
    _require_grid(cube, weak.geobox, "the place")
    lists.check(weak.grid)
    if not lists.train or not lists.validation:
        raise InputError("a list of tiles is empty; name tiles to train on, and others to validate with")
    end = weak.end + np.timedelta64(1, "D")
    stack = Stack.of(cube, start.era, branches=start.branches, start=weak.start, end=end)
    weak.check_period(stack.times)
    train, check = _visited(stack, weak, lists, config)
    given = {
        "cube": stack.digests[-1],
        "labels": _digest(weak.truth.tobytes(), *(str(tiles) for tiles in (lists.train, lists.validation))),
        "weights": _weights_digest(start),
    }
    told = f"taught with weak labels of {weak.start} to {weak.end} in {len(lists.train)} tiles"
    shown = replace(config, era=start.era, branches=start.branches)
    teaching = _Teaching(run, start, config, train, check, shown.to_dict(), given)
    return teaching.run_through(told, overwrite=overwrite, progress=progress)


# what both do


@dataclass(frozen=True)
class _Teaching:
    """A network, its samples and its run folder."""

    run: Run
    net: ERCNN
    config: PretrainConfig | TransferConfig
    train: PretrainTiles | TransferTiles
    check: PretrainTiles | TransferTiles
    settings: Mapping[str, Any]
    given: Mapping[str, Any]

    def run_through(self, told: str, *, overwrite: bool, **more: Any) -> tuple[ERCNN, FitResult]:
        """Train to the end, and keep the best; `more` is for the loop."""
        from terradelta.learning.fitting import fit
        from terradelta.learning.loading import make_loader

        options, net = self.config.options, self.net
        with self.run.held():
            usual = type(self.config)().to_dict()
            self.run.begin(self.settings, self.given, seed=options.seed, overwrite=overwrite, defaults=usual)
            loaders = (
                make_loader(
                    self.train, collate, options, training=True, order=self.train.order(options.seed)
                ),
                make_loader(self.check, collate, options, training=False),
            )
            result = fit(self._task(), *loaders, options, self.run, **more)
            net.origin = f"{net.origin}, " if net.origin else ""
            net.origin += f"{told}, best of {result.epochs} epochs"
            net.requires_grad_(True).eval()
            net.save_pretrained(self.run.model)
        return net, result

    def _task(self) -> UrbanTask:
        from terradelta.urban.training.task import UrbanTask

        config = self.config
        more: dict[str, Any] = {"momentum": config.momentum, "norm_momentum": config.norm_momentum}
        if isinstance(config, TransferConfig):
            more |= {"saving": config.saving, "parts": config.parts}
        if config.options.pictures_every:
            more["examples"] = collate([self.check[place] for place in _shown(self.check)])
        return UrbanTask(self.net, config.options, loss=config.loss, **more)


def _shown(samples: Dataset[Any]) -> list[int]:
    count = len(samples)  # type: ignore[arg-type]
    return [int(place) for place in np.linspace(0, count - 1, min(_EXAMPLES, count))]


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _require_grid(cube: xr.DataTree, labels: GeoBox | None, name: str) -> None:
    """Refuse labels of another place, or of other pixels."""
    own = geobox_of(cube)
    if labels is not None and own != labels:
        raise InputError(
            f"the labels of {name} are of another grid: {describe_grid(labels)}, the cube has "
            f"{describe_grid(own)}; make the labels with this cube"
        )


# of pretrain


def _require_grids(sources: Sequence[LabelledCube]) -> None:
    for source in sources:
        document = source.labels.attrs.get("settings", {}).get("grid")
        tree = source.cube if isinstance(source.cube, xr.DataTree) else open_cube(source.cube)
        _require_grid(tree, document and grid_from(document), source.name or "the cube")


def _require_windows(sources: Sequence[LabelledCube], era: Era) -> None:
    """Refuse an era whose windows are not those of the labels: the network would be told wrong ones."""
    for source in sources:
        settings = source.labels.attrs.get("settings", {})
        step, window = settings.get("step"), settings.get("window")
        made = {"step": None if step is None else pd.Timedelta(step, "D"), "window": window}
        for what, there in made.items():
            own = pd.Timedelta(getattr(era, what))
            if there is not None and pd.Timedelta(there) != own:
                raise InputError(
                    f"the labels of {source.name or 'the cube'} were made with a {what} of "
                    f"{pd.Timedelta(there)}, but {what} of the era is {own}; leave it out, "
                    "or make other labels"
                )


def _windows(sources: Sequence[LabelledCube], part: Part, config: PretrainConfig) -> PretrainTiles:
    memory = _FOR_TRAINING if part == "train" else 1 - _FOR_TRAINING
    return PretrainTiles(
        sources,
        part,
        era=config.era,
        branches=config.branches,
        tile=config.tile,
        share=_share(sources, config.every),
        seed=config.options.seed,
        memory=int(memory * config.memory),
    )


def _share(sources: Sequence[LabelledCube], every: int) -> float:
    """Give the part of the labelled windows that leaves one in so many of all windows."""
    if every < 1:
        raise InputError(f"one in {every} windows is to be used; give 1 or more")
    strides = {source.labels.attrs.get("settings", {}).get("stride", 1) for source in sources}
    if not strides:
        raise InputError("there is nothing to train on; give a cube and its labels")
    if len(strides) > 1:
        told = " and ".join(map(str, sorted(strides)))
        raise InputError(f"the labels have strides of {told}; make them with the same stride")
    return min(float(strides.pop()) / every, 1.0)


def _source_digests(sources: Sequence[LabelledCube], config: PretrainConfig) -> list[str]:
    """Tell cubes and labels from others: what was observed, and how and for when labels were made."""
    digests = []
    for source in sources:
        found = labelled_windows(source, era=config.era, branches=config.branches)
        settings = json.dumps(source.labels.attrs["settings"], sort_keys=True, default=str)
        along = [np.ascontiguousarray(source.labels[name].values).tobytes() for name in ("start", "end")]
        digests.append(_digest(found.stack.digests[int(found.spans.max()) - 1], settings, *along))
    return digests


# of transfer


def _starting(net: ERCNN | None, config: TransferConfig) -> ERCNN:
    """Give a copy of the network with the windows that are wanted, or a new one."""
    from terradelta.learning.fitting import seeded

    if net is None:
        era, branches = config.era or S1S2, config.branches or "both"
        with seeded(config.options.seed):
            fresh = ERCNN(era, branches, recurrent_dropout=config.recurrent_dropout)
        fresh.origin = f"random weights of seed {config.options.seed}"
        return fresh
    era = config.era or net.era
    for what, wanted, there in (
        ("era", era.name, net.era.name),
        ("branches", config.branches or net.branches, net.branches),
        ("sar_filters", era.sar_filters, net.era.sar_filters),
        ("optical_filters", era.optical_filters, net.era.optical_filters),
        ("bands", (*era.sar_bands, *era.optical_bands), (*net.era.sar_bands, *net.era.optical_bands)),
    ):
        if wanted != there:
            raise InputError(
                f"{what} of the weights is {there}, but {wanted} is asked for; give other weights, or "
                "leave it out"
            )
    start = deepcopy(net)
    start.era = era
    for branch in (start.sar, start.optical):
        if branch is not None:
            branch.memory.dropout = config.recurrent_dropout
    return start


def _visited(
    stack: Stack, weak: WeakLabels, lists: TileLists, config: TransferConfig
) -> tuple[TransferTiles, TransferTiles]:
    """Give the visits of training, and those of validation, which are the same each time."""
    frames = [
        TileFrames(stack, weak.grid, tiles, memory=int(share * config.memory))
        for tiles, share in ((lists.train, _FOR_TRAINING), (lists.validation, 1 - _FOR_TRAINING))
    ]
    seed = config.options.seed
    train = TransferTiles(frames[0], weak.truth, lists.train, config.visits, augment=config.augment)
    check = TransferTiles(frames[1], weak.truth, lists.validation, config.visits, augment="none",
                          repeats=config.repeats, fixed=seed)  # fmt: skip
    return train, check


def _weights_digest(net: ERCNN) -> str:
    return _digest(*(value.detach().cpu().double().numpy().tobytes() for value in net.state_dict().values()))
