"""Time and memory of a method, each in a fresh process: ten previous images, despeckling included."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from terradelta.errors import InputError
from terradelta.evaluate.opera.methods import METHODS, Case, Images, Scorer, score_all
from terradelta.expected import RobustParameters
from terradelta.expected.peers.chips import Edges
from terradelta.sar import despeckle_tv, to_db
from terradelta.types import FloatArray

__all__ = ["Cost", "Task", "measure"]

_HISTORY, _BANDS, _LOOKS = 10, 2, 8.0
_WARM = 64
_RAW = ("raw", "omnibus")
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes
    ----------
    key : str
        Of `METHODS`; for others a name.
    wheel, weights : str
        Of a transformer: package and weight set; empty otherwise.
    stride : int
        Of a transformer.
    edges : str
        Likewise.
    network : str
        Run folder of a network of `terradelta.evaluate.teaching`, with its key of `LESSONS` as `key`.
    """

    key: str
    wheel: str = ""
    weights: str = ""
    stride: int = 0
    edges: Edges = "published"
    network: str = ""


@dataclass(frozen=True)
class Cost:
    """What a method takes.

    Attributes
    ----------
    seconds : float
        Processor seconds per megapixel (all threads), with the despeckling of all images.
    wall : float
        Seconds on the clock per megapixel, likewise.
    despeckling : float
        Processor seconds per megapixel of that for despeckling all images; 0 where there is none.
    memory : float
        MiB that the process grew by at most, images of the series not counted.
    load : float
        Load average of the machine when it was measured.
    """

    seconds: float
    wall: float
    despeckling: float
    memory: float
    load: float

    @property
    def newest(self) -> float:
        """Processor seconds per megapixel if the previous images are despeckled already."""
        return self.seconds - self.despeckling * _HISTORY / (_HISTORY + 1)


def measure(task: Task, size: int = 256, *, threads: int = 1, repeat: int = 1) -> Cost:
    """Measure a method in a process of its own.

    Parameters
    ----------
    task : Task
        Which method.
    size : int
        Rows and columns of the image.
    threads : int
        Of PyTorch.
    repeat : int
        The best of so many runs counts.

    Returns
    -------
    Cost
        Time per megapixel, and memory for an image of this size.

    Raises
    ------
    InputError
        If the method is unknown.
    """
    if not (task.weights or task.network) and task.key not in METHODS:
        raise InputError(f"no method is called {task.key!r}; there are {', '.join(METHODS)}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, task, size, threads, repeat).result()


def _measured(task: Task, size: int, threads: int, repeat: int) -> Cost:
    import torch

    torch.set_num_threads(threads)
    work, smoothed = _work(task)
    work(_series(_WARM))
    series = _series(size)
    megapixels = size * size / 1e6
    before = _forget_peak()
    used = [_clocked(lambda: work(series)) for _ in range(repeat)]
    grown = _peak() - before
    smoothing = min(_clocked(lambda: _smooth(series))[0] for _ in range(repeat)) if smoothed else 0.0
    seconds, wall = (min(column) / megapixels for column in zip(*used, strict=True))
    return Cost(seconds, wall, smoothing / megapixels, grown, os.getloadavg()[0])


def _clocked(work: Callable[[], Any]) -> tuple[float, float]:
    start, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - start, time.perf_counter() - clock


def _work(task: Task) -> tuple[Callable[[FloatArray], FloatArray], bool]:
    """Give a function from a series in linear power to a score, and whether it despeckles."""
    parameters = RobustParameters()
    scorer = _scorer(task)
    if scorer is None:
        group = METHODS[task.key].group
        smoothed = not task.key.endswith(_RAW)
        ready = _images if smoothed and group == "plain" else _unsmoothed

        def ours(series: FloatArray) -> FloatArray:
            return score_all(_case(ready(series)), parameters, only=(task.key,))[task.key]

        return ours, smoothed
    prepare = _smooth if scorer.despeckled else to_db

    def other(series: FloatArray) -> FloatArray:
        decibel = prepare(series)
        return scorer.strength(decibel[-1], decibel[:-1])

    return other, scorer.despeckled


def _scorer(task: Task) -> Scorer | None:
    if task.weights:
        from terradelta.evaluate.peers.methods import TransformerPeer
        from terradelta.expected.peers import Transformer

        return TransformerPeer(Transformer.from_wheel(task.wheel, task.weights), task.stride, task.edges)
    if task.network:
        from terradelta.evaluate.opera.lessons import LESSONS
        from terradelta.evaluate.teaching import Taught
        from terradelta.expected.model import ExpectedImage

        return Taught(LESSONS[task.key], ExpectedImage.from_pretrained(task.network))
    return None


def _series(size: int) -> FloatArray:
    """Ten previous images and the target, (time, band, y, x), speckled fields."""
    rng = np.random.default_rng(0)
    fields = 0.1 * 10 ** rng.normal(0, 0.2, (_BANDS, size // 16 + 1, size // 16 + 1))
    level = np.kron(fields, np.ones((16, 16)))[:, :size, :size]
    speckle = rng.gamma(_LOOKS, 1 / _LOOKS, (_HISTORY + 1, _BANDS, size, size))
    return (level * speckle).astype(np.float32)


def _smooth(series: FloatArray) -> FloatArray:
    numbers = RobustParameters()
    return despeckle_tv(to_db(series), numbers.tv_weight, iterations=numbers.tv_iterations)


def _images(series: FloatArray) -> Images:
    return Images(series, to_db(series), _smooth(series))


def _unsmoothed(series: FloatArray) -> Images:
    decibel = to_db(series)
    return Images(series, decibel, decibel)


def _case(images: Images) -> Case:
    return Case(images.at(_HISTORY), images.at(list(range(_HISTORY))), _LOOKS)


def _forget_peak() -> float:
    """Start the peak anew where the system can; give the memory in use, MiB."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> float:
    """Give the most memory that the process held, MiB."""
    if _STATUS.exists():
        return _status("VmHWM")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _status(name: str) -> float:
    """Read a size of this process, MiB; unlike ``ru_maxrss`` it is not inherited from the parent."""
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name))) / 2**10
