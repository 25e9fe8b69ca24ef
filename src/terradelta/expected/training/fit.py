"""Training a network for the expected image, from data to a model that can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.errors import InputError
from terradelta.expected.conditions import check_groups
from terradelta.expected.model import ExpectedImage
from terradelta.expected.networks.losses import LossConfig
from terradelta.expected.networks.registry import build_network
from terradelta.expected.preparation import Preparation
from terradelta.expected.samples.feeding import RandomOrder, SampleDataset, collate
from terradelta.expected.samples.sample import Sample
from terradelta.expected.statistics import Statistics, StatisticsBuilder, statistics_of
from terradelta.expected.training.data import Data, SamplesConfig, open_data
from terradelta.expected.training.ranges import ranges_of
from terradelta.learning.options import TrainingOptions
from terradelta.learning.run import Run
from terradelta.types import PathType

if TYPE_CHECKING:
    from terradelta.learning.fitting import FitResult

__all__ = ["STATISTICS", "FitConfig", "fit_expected", "train_expected"]

STATISTICS = "statistics.json"
"""Statistics of the training samples, in the run folder."""

_EXAMPLES = 4
_LOOKED_AT = 8
_FAR = 2.0
_RATIO = 9.0


@dataclass(frozen=True)
class FitConfig:
    """What is trained, on what, and how.

    Attributes
    ----------
    network : str
        Name, of `terradelta.expected.networks.registry.NETWORKS`.
    network_config : mapping
        Its numbers, as its configuration's ``from_dict`` takes them; those left out are the defaults.
    loss : LossConfig or None
        None: the likelihood for ``conditioned``, the squared error for ``unet``.
    preparation : Preparation
        Steps before the network.
    samples : SamplesConfig
        How samples are drawn from cubes.
    options : TrainingOptions
        Numbers of the training.
    without : tuple of str
        Conditions that the network is not told (ablation), of `terradelta.expected.conditions.GROUPS`.
    weather : bool
        Whether it is told temperature, snow and precipitation.
    augment : bool
        Mirror samples at random.
    crop : int
        Train on squares of so many pixels on a side, cut out at random; 0: on whole samples.
    remember : int
        Bytes of prepared samples to keep in memory, per process that reads.
    statistics : Statistics or None
        Normalisation; None: of the training samples.

    Raises
    ------
    InputError
        A condition is unknown.

    Examples
    --------
    >>> FitConfig().loss_config.kind, FitConfig(network="unet").loss_config.kind
    ('gaussian', 'mse')
    """

    network: str = "conditioned"
    network_config: Mapping[str, Any] = field(default_factory=dict)
    loss: LossConfig | None = None
    preparation: Preparation = field(default_factory=Preparation)
    samples: SamplesConfig = field(default_factory=SamplesConfig)
    options: TrainingOptions = field(default_factory=TrainingOptions)
    without: tuple[str, ...] = ()
    weather: bool = True
    augment: bool = False
    crop: int = 0
    remember: int = 0
    statistics: Statistics | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "without", check_groups(self.without))

    @property
    def loss_config(self) -> LossConfig:
        """The loss that is used."""
        return self.loss or LossConfig(kind="gaussian" if self.network == "conditioned" else "mse")

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, as a run folder keeps them."""
        return {
            "network": self.network,
            "network_config": dict(self.network_config),
            "loss": self.loss_config.to_dict(),
            "preparation": self.preparation.to_dict(),
            "samples": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self.samples).items()
            },
            "options": asdict(self.options),
            "without": list(self.without),
            "weather": self.weather,
            "augment": self.augment,
            "crop": self.crop,
            "statistics": None if self.statistics is None else self.statistics.document(),
        }


def fit_expected(
    source: Any, config: FitConfig, *, run: PathType | None = None, **more: Any
) -> ExpectedImage:
    """Train, and give the best model.

    Parameters
    ----------
    source : object
        See `terradelta.expected.training.data.open_data`.
    config : FitConfig
        What to train, and how.
    run : path-like, optional
        Run folder; a temporary one if left out.
    **more
        As `train_expected` takes it.

    Returns
    -------
    ExpectedImage
        The best of the run.

    Raises
    ------
    InputError
        Data or configuration cannot be used.
    ConflictError
        The run folder was begun with other settings or data.
    TrainingStopped
        After SIGINT or SIGTERM; the same call goes on, if a run folder was given.
    """
    if run is not None:
        return train_expected(source, config, Run(run), **more)[0]
    import tempfile

    with tempfile.TemporaryDirectory(prefix="terradelta-") as folder:
        return train_expected(source, config, Run(Path(folder) / "run"), **more)[0]


def train_expected(
    source: Any,
    config: FitConfig,
    run: Run,
    *,
    validation: Any = None,
    resume: PathType | None = None,
    weights_only: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, int], Any] | None = None,
) -> tuple[ExpectedImage, FitResult]:
    """Train in a run folder, or go on there.

    Parameters
    ----------
    source : object
        See `terradelta.expected.training.data.open_data`.
    config : FitConfig
        What to train, and how.
    run : Run
        The folder.
    validation : object, optional
        Samples for validation, like `source`; if left out, a part of the source.
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
        The best model of the run, which is also in its folder ``model``, and how the training went.

    Raises
    ------
    InputError
        Data or configuration cannot be used; a loss is no number.
    ConflictError
        The run folder was begun with other settings or data.
    LockedError
        Another process trains there.
    TrainingStopped
        After SIGINT or SIGTERM.
    """
    from terradelta.learning.fitting import fit, require_lightning

    require_lightning()
    data = open_data(source, config.samples, seed=config.options.seed, validation=validation)
    with run.held():
        told, given = (
            _settings(config, resume, weights_only),
            {"digest": data.digest, "samples": len(data.train)},
        )
        usual = FitConfig(network=config.network).to_dict()
        run.begin(told, given, seed=config.options.seed, overwrite=overwrite, defaults=usual)
        for number, plan in enumerate(data.plans):
            plan.save(run.folder / f"plan-{number + 1}.json")
        statistics = _statistics(config, data, run)
        model = _fresh(config, data, statistics)
        task, loaders = _task(config, data, model)
        result = fit(task, *loaders, config.options, run, resume=None if resume is None else Path(resume),
                     weights_only=weights_only, progress=progress)  # fmt: skip
        model.ranges = _ranges(result)
        model.network.eval()
        model.save_pretrained(run.model)
    return model, result


def _settings(config: FitConfig, resume: PathType | None, weights_only: bool) -> dict[str, Any]:
    origin = {} if resume is None else {"resume": str(resume), "resume_weights_only": weights_only}
    return {**config.to_dict(), **origin}


def _statistics(config: FitConfig, data: Data, run: Run) -> Statistics:
    """Take the statistics that are given, or gather them once for a run."""
    if config.statistics is not None:
        _require_fitting(config.statistics, data.train)
        return config.statistics
    file = run.folder / STATISTICS
    if not file.is_file():
        statistics_of(data.train).to_json(file)
    return Statistics.from_json(file)


def _require_fitting(statistics: Statistics, samples: Sequence[Sample]) -> None:
    """Refuse statistics that are plainly of other data."""
    builder = StatisticsBuilder()
    for place in np.linspace(0, len(samples) - 1, min(_LOOKED_AT, len(samples))).astype(int):
        builder.add(samples[int(place)])
    found = builder.result()
    far = abs(found.image_mean - statistics.image_mean) / statistics.image_var**0.5
    ratio = max(found.image_var / statistics.image_var, statistics.image_var / found.image_var)
    if far > _FAR or ratio > _RATIO:
        raise InputError(
            f"the statistics (mean {statistics.image_mean:.1f} dB, variance {statistics.image_var:.1f}) are "
            f"of another data set: these samples have mean {found.image_mean:.1f} dB and variance "
            f"{found.image_var:.1f}; leave statistics out to gather them"
        )


def _fresh(config: FitConfig, data: Data, statistics: Statistics) -> ExpectedImage:
    """Build the network, with weights by the seed."""
    from terradelta.learning.fitting import seeded

    first = data.train[0]
    told = {"without": list(config.without), "weather": config.weather}
    numbers = {**config.network_config, **told}
    if config.network == "unet" and not {"preset", "encoder"} & numbers.keys():
        numbers = {"preset": "paper", "size": first.size, **numbers}
    with seeded(config.options.seed):
        network = build_network(
            config.network, numbers, images=first.previous, bands=len(first.bands), static=1
        )
    return ExpectedImage(
        network,
        statistics,
        config.preparation,
        bands=first.bands,
        previous=first.previous,
        spacing=data.spacing,
        same_orbit=config.samples.same_orbit,
    )


def _task(config: FitConfig, data: Data, model: ExpectedImage) -> tuple[Any, tuple[Any, Any]]:
    from terradelta.expected.training.task import ExpectedTask
    from terradelta.learning.loading import make_loader

    how = (model.statistics, config.preparation)
    told: dict[str, Any] = {"without": config.without, "weather": config.weather}
    feed: dict[str, Any] = {"remember": config.remember, **told}
    train = SampleDataset(data.train, *how, augment=config.augment, crop=config.crop, **feed)
    check = SampleDataset(data.validation, *how, **feed)
    shown = np.linspace(0, len(check) - 1, min(_EXAMPLES, len(check))).astype(int)
    wanted = config.options.pictures_every > 0
    task = ExpectedTask(
        model.network,
        config.loss_config,
        config.options,
        half_width=model.half_width,
        examples=collate([check[int(place)] for place in shown]) if wanted else None,
    )
    order = RandomOrder(train, config.options.seed)
    return task, (
        make_loader(train, collate, config.options, training=True, order=order),
        make_loader(check, collate, config.options, training=False),
    )


def _ranges(result: FitResult) -> dict[str, tuple[float, float]]:
    from terradelta.learning.checkpoints import read_checkpoint

    return ranges_of(read_checkpoint(result.last)["ranges"])
