"""Experiments on real and simulated data, wired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import rasterio

from terradelta.errors import InputError
from terradelta.sources import build_cube
from terradelta.workflows.config import DetectSettings, EvaluateSettings
from terradelta.workflows.detect import run_detect
from terradelta.workflows.progress import Progress, no_progress

if TYPE_CHECKING:
    from terradelta.evaluate.urban.networks import Watch

__all__ = ["run_evaluate"]

_PATCHES = {
    "292320": ("", "T137-292320-IW2*"),
    "292321": ("", "T137-292321-IW2*"),
    "292323": ("", "T137-292323-IW2*"),
    "292324": ("", "T137-292324-IW2*"),
    "292324-long": ("long_25x25", "T137-292324-IW2*"),
}


class _Dated(NamedTuple):
    """One patch: share of changed pixels, and the date that most of them have."""

    patch: str
    share: float
    date: str
    dated_share: float

    def row(self) -> str:
        return f"| {self.patch} | {self.share:.1%} | {self.date} | {self.dated_share:.0%} |"


def run_evaluate(settings: EvaluateSettings, progress: Progress = no_progress) -> str:
    """Run one experiment.

    Parameters
    ----------
    settings : EvaluateSettings
        Which one, data, networks, folder and seed.
    progress : callable
        See `show_progress`.

    Returns
    -------
    str
        Markdown tables, also in files of the folder.

    Raises
    ------
    SourceError
        If the data are not there.
    InputError
        If a network cannot be used.
    """
    if settings.ablations:
        from terradelta.workflows.ablations import run_ablations

        return run_ablations(settings.ablations, settings.out, progress)
    return _EXPERIMENTS[settings.experiment](settings, progress)


def _opera(settings: EvaluateSettings, progress: Progress) -> str:
    """Score the methods on OPERA patches, then find and date real change there with `detect`."""
    from terradelta.evaluate import opera

    data = _data(settings)
    protocol = opera.Protocol()
    if settings.history is not None:
        protocol = replace(protocol, history=settings.history)
    opera.run(
        data,
        settings.out,
        seed=settings.seed,
        protocol=protocol,
        networks=settings.networks,
        seeds=settings.trainings,
        progress=progress,
    )
    dated = [_date(settings, data, patch, progress) for patch in _PATCHES]
    table = "\n".join(
        [
            "| patch | changed over the whole period | most frequent date | of the changed pixels |",
            "| --- | --- | --- | --- |",
            *(one.row() for one in dated),
        ]
    )
    (settings.out / "dated.md").write_text(table + "\n", encoding="utf-8")
    return (settings.out / "opera.md").read_text(encoding="utf-8") + "\n" + table


def _weather(settings: EvaluateSettings, progress: Progress) -> str:
    """Score methods and networks on a series with real weather."""
    from terradelta.evaluate import weather

    protocol = weather.WeatherProtocol()
    if settings.history is not None:
        protocol = replace(protocol, history=settings.history)
    return weather.run(
        _data(settings),
        settings.out,
        networks=settings.networks or tuple(weather.LESSONS),
        seeds=settings.trainings,
        seed=settings.seed,
        protocol=protocol,
        progress=progress,
    )


def _images(settings: EvaluateSettings, progress: Progress) -> str:
    """Judge differences on images with simulated change."""
    from terradelta.evaluate import images

    expect = None
    if settings.weights:
        from terradelta.expected.model import ExpectedImage

        expect = ExpectedImage.from_pretrained(settings.weights[0], settings.device).expected_db
    images.run(_data(settings), settings.out, seed=settings.seed, expect=expect, progress=progress)
    return (settings.out / "images.md").read_text(encoding="utf-8")


def _paper(settings: EvaluateSettings, progress: Progress) -> str:
    """Make the tables of the publication."""
    from terradelta.evaluate import paper

    sizes = paper.QUICK if settings.quick else paper.FULL
    paper.run(
        settings.out,
        _own_or(settings),
        protocol=replace(sizes, seeds=settings.trainings, precision=settings.precision),
        networks=settings.networks,
        model=settings.weights[0] if settings.weights else None,
        workers=settings.workers,
        progress=progress,
    )
    return (settings.out / "paper.md").read_text(encoding="utf-8")


def _peers(settings: EvaluateSettings, progress: Progress) -> str:
    """Score the methods beside pre-trained transformers."""
    from terradelta.evaluate import peers

    plan = peers.Plan.quick() if settings.quick else peers.Plan()
    return peers.run(
        settings.out,
        data=_own_or(settings),
        wheel=settings.weights[0] if settings.weights else None,
        networks=settings.networks,
        seed=settings.seed,
        plan=replace(plan, trainings=settings.trainings),
        progress=progress,
    )


def _own_or(settings: EvaluateSettings) -> Path | None:
    """Give the data; None for simulated ones."""
    return None if settings.data is None or str(settings.data) == "simulated" else settings.data


def _oscd(settings: EvaluateSettings, progress: Progress) -> str:
    from terradelta.evaluate.urban import oscd

    how = _watch(settings, stride=9)
    return oscd.run(_data(settings), settings.out, settings.weights, how=how, progress=progress)


def _worldcereal(settings: EvaluateSettings, progress: Progress) -> str:
    from terradelta.evaluate.urban import worldcereal

    how = _watch(settings, stride=5)
    return worldcereal.run(_data(settings), settings.out, settings.weights, how=how, progress=progress)


def _urban_simulated(settings: EvaluateSettings, progress: Progress) -> str:
    from terradelta.evaluate.urban import simulated

    return simulated.run(
        settings.out,
        settings.weights,
        seed=settings.seed,
        places=settings.places,
        how=_watch(settings, stride=20),
        progress=progress,
    )


def _urban(settings: EvaluateSettings, progress: Progress) -> str:
    """Judge networks on a cube with weak labels, or with its own truth."""
    from terradelta.cube import open_cube
    from terradelta.evaluate.urban import site

    cube, lists = open_cube(_data(settings)), ["all"]
    if settings.labels is None:
        labels = site.labels_from_truth(cube)
    else:
        from terradelta.workflows.label.weak import read_weak

        lists = settings.tiles
        labels = site.labels_from_weak(read_weak(settings.labels), cube, lists)
    return site.run(
        cube,
        labels,
        settings.out,
        {
            "before transfer": settings.before,
            "ab initio": settings.ab_initio,
            "after transfer": settings.weights,
        },
        lists=lists,
        how=_watch(settings, stride=5),
        drop=settings.drop,
        seed=settings.seed,
        progress=progress,
    )


def _urban_transfer(settings: EvaluateSettings, progress: Progress) -> str:
    """Teach networks on simulated places, step by step."""
    from terradelta.evaluate.urban import transfer

    sizes = transfer.QUICK if settings.quick else transfer.FULL
    chosen = replace(sizes, seeds=settings.trainings, stride=settings.stride or sizes.stride)
    return transfer.run(
        settings.out,
        protocol=chosen,
        weights=settings.weights[0] if settings.weights else None,
        workers=settings.workers,
        progress=progress,
    )


_EXPERIMENTS: dict[str, Callable[[EvaluateSettings, Progress], str]] = {
    "opera": _opera,
    "weather": _weather,
    "images": _images,
    "paper": _paper,
    "peers": _peers,
    "oscd": _oscd,
    "worldcereal": _worldcereal,
    "urban-simulated": _urban_simulated,
    "urban": _urban,
    "urban-transfer": _urban_transfer,
}


def _data(settings: EvaluateSettings) -> Path:
    if settings.data is None:
        raise InputError(f"the experiment {settings.experiment} needs real data; name their folder with data")
    return settings.data


def _watch(settings: EvaluateSettings, *, stride: int) -> Watch:
    from terradelta.evaluate.urban.networks import Watch

    return Watch(settings.stride or stride, device=settings.device, precision=settings.precision)


def _date(settings: EvaluateSettings, data: Path, patch: str, progress: Progress) -> _Dated:
    folder, pattern = _PATCHES[patch]
    cube, out = settings.out / "cubes" / f"{patch}.zarr", settings.out / patch
    build_cube(data / folder, cube, pattern=pattern)
    run_detect(DetectSettings(cube=cube, out=out, workers=1), progress)
    change, date = _read(out / "change.tif"), _read(out / "date.tif")
    changed = change == 1
    if not changed.any():
        return _Dated(patch, 0.0, "none", 0.0)
    days, numbers = np.unique(date[changed], return_counts=True)
    most = np.datetime64(int(days[numbers.argmax()]), "D")
    return _Dated(patch, changed.sum() / (change != 255).sum(), str(most), numbers.max() / numbers.sum())


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))
