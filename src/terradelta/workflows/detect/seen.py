"""What was expected of each image by a trained network, or by an earlier image: source of a difference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from terradelta.errors import InputError
from terradelta.types import FloatArray
from terradelta.windows import Slices
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.progress import Progress

if TYPE_CHECKING:
    from terradelta.expected import ExpectedImage
    from terradelta.workflows.detect.series import OrbitSeries

__all__ = [
    "COMPARED",
    "Facts",
    "Seen",
    "SeenBlock",
    "expect_all",
    "facts_of",
    "fingerprint",
    "load_model",
    "open_seen",
]

COMPARED = ("expected", "conventional")
"""Methods that compare each image with what `terradelta.expected` says of it."""

_BASELINES = ("mean", "median")
_CONFIG, _WEIGHTS, _MODEL = "config.json", "model.safetensors", "model"


class Facts(NamedTuple):
    """What a method needs of the images before, and what it tells.

    Attributes
    ----------
    previous : int
        Images before a target.
    same_orbit : bool
        Only those of its orbit count.
    tells_sigma : bool
        Whether the score is in standard deviations.
    """

    previous: int
    same_orbit: bool
    tells_sigma: bool


def facts_of(settings: DetectSettings) -> Facts:
    """Tell what the chosen method needs, without loading a network.

    Raises
    ------
    InputError
        If the model's description cannot be read.
    """
    if settings.method == "conventional":
        baseline = settings.choice in _BASELINES
        return Facts(settings.robust.fewest, baseline, tells_sigma=False)
    told = _description(_folder(settings.model))
    try:
        return Facts(int(told["previous"]), bool(told["same_orbit"]), told["network"] != "unet")
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{settings.model} is no model of the expected image; train one first") from None


def _folder(run: Path | None) -> Path:
    run = Path() if run is None else run
    inner = run / _MODEL
    return inner if inner.is_dir() and not (run / _CONFIG).is_file() else run


def _description(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"{folder} holds no trained model; name the folder of a training run or of save_pretrained"
        ) from None
    return dict(told) if isinstance(told, dict) else {}


def fingerprint(run: Path) -> str:
    """Tell a model from others by its two files, wherever they lie."""
    content = sha256()
    for name in (_CONFIG, _WEIGHTS):
        try:
            content.update((_folder(run) / name).read_bytes())
        except OSError as error:
            raise InputError(f"{run} cannot be read: {error.strerror}; check the path of the model") from None
    return content.hexdigest()[:32]


def load_model(settings: DetectSettings) -> ExpectedImage:
    """Read the model of method expected."""
    from terradelta.expected import ExpectedImage
    from terradelta.learning.devices import device_of

    device = device_of(settings.device) if settings.scheduler is None else "cpu"
    return ExpectedImage.from_pretrained(_folder(settings.model), device)


class SeenBlock(NamedTuple):
    """One image in one block, (band, y, x) each, dB; `sigma` is None if it is not told."""

    target: FloatArray
    expected: FloatArray
    sigma: FloatArray | None


@dataclass(frozen=True)
class Seen:
    """What was expected of the targets of an orbit.

    Attributes
    ----------
    images : mapping of Dataset or Path
        Index of a target in its series to what `predict` gave, or to where it lies.
    """

    images: Mapping[int, xr.Dataset | Path]

    def at(self, target: int, part: Slices) -> SeenBlock:
        """Read a part of one target."""
        found = self.images[target]
        dataset = found if isinstance(found, xr.Dataset) else _opened(found)
        cut = dataset.isel(y=part[0], x=part[1]).compute(scheduler="synchronous")
        sigma = cut["sigma"].values if "sigma" in cut else None
        return SeenBlock(cut["target"].values, cut["expected"].values, sigma)


def _opened(path: Path) -> xr.Dataset:
    from terradelta.expected import open_prediction

    return open_prediction(path)


def expect_all(
    model: ExpectedImage,
    tree: xr.DataTree,
    series: OrbitSeries,
    settings: DetectSettings,
    folder: Path | None,
    progress: Progress,
    executor: Executor | None = None,
) -> Seen:
    """Predict every target of an orbit, each as a whole and blended; on disk where there is a folder.

    Parameters
    ----------
    model : ExpectedImage
        Trained.
    tree : DataTree
        The cube.
    series : OrbitSeries
        The orbit and its targets.
    settings : DetectSettings
        Memory and neighbourhood.
    folder : Path or None
        Where predictions are kept until the run is done; None keeps them in memory.
    progress : callable
        See `show_progress`.
    executor : Executor, optional
        Who computes; by default this process.

    Returns
    -------
    Seen
        By target.
    """
    from terradelta.expected import predict

    source = tree.encoding.get("source") or tree
    found: dict[int, xr.Dataset | Path] = {}
    with progress(f"{series.name}: expected images", len(series.targets)) as advance:
        for target in series.targets:
            store = None if folder is None else folder.absolute() / f"{target}.zarr"
            seen = predict(
                model,
                source,
                series.times[target],
                until=_unconfirmed_since(series, target, settings),
                memory=settings.memory,
                neighbourhood=settings.neighbourhood,
                store=store,
                executor=executor,
                device=settings.device,
            )
            found[target] = seen if store is None else store
            advance(1)
    return Seen(found)


def _unconfirmed_since(series: OrbitSeries, target: int, settings: DetectSettings) -> np.datetime64:
    """Give the first of the acquisitions that would confirm a change in the target.

    Only images before it serve as previous ones: a change must not be compared with itself while it waits to
    be confirmed.
    """
    first: np.datetime64 = series.times[max(target - settings.in_a_row + 1, 0)]
    return first


def open_seen(series: OrbitSeries, settings: DetectSettings, targets: Iterable[int] | None = None) -> Seen:
    """Give what the conventional method expects of the targets of an orbit, lazily.

    Parameters
    ----------
    series : OrbitSeries
        The orbit and its targets.
    settings : DetectSettings
        Choice and despeckling.
    targets : iterable of int, optional
        Only these.

    Returns
    -------
    Seen
        By target.
    """
    from terradelta.expected.differences.baselines import conventional
    from terradelta.expected.differences.halo import despeckled
    from terradelta.expected.preparation import Preparation

    radar = series.backscatter.to_dataset(name="backscatter")
    preparation = Preparation(despeckle=settings.despeckle, robust=settings.robust.parameters())
    found: dict[int, xr.Dataset | Path] = {}
    for target in series.targets if targets is None else targets:
        time: np.datetime64 = series.times[target]
        previous = settings.robust.history if settings.choice in _BASELINES else None
        seen = conventional(
            radar,
            time,
            choice=settings.choice,
            previous=previous,
            until=_unconfirmed_since(series, target, settings),
            preparation=preparation,
        )
        if "target" not in seen:
            image = series.backscatter[series.places[target]]
            seen["target"] = despeckled(image, preparation).drop_vars("time")
        found[target] = seen.drop_vars("sigma", errors="ignore")
    return Seen(found)
