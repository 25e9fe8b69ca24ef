"""Networks on a cube: the steps that all experiments share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import FloatArray, PathType
from terradelta.urban.defaults import Precision

if TYPE_CHECKING:
    from terradelta.urban import ERCNN

__all__ = ["Advance", "Peaks", "Progress", "Watch", "load_networks", "no_progress", "watch"]

Advance: TypeAlias = Callable[[int], None]
Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Advance]]


def no_progress(label: str, total: int) -> AbstractContextManager[Advance]:
    """Show nothing."""
    return nullcontext(lambda _: None)


@dataclass(frozen=True)
class Watch:
    """How networks are run.

    Attributes
    ----------
    stride : int
        Kept observations from the start of one window to the next.
    device : str or None
        Where; a GPU if there is one, if None.
    precision : str
        ``float32`` or ``bfloat16``.
    """

    stride: int
    device: str | None = None
    precision: Precision = "float32"


@dataclass(frozen=True, eq=False)
class Peaks:
    """What the windows of a place say together.

    Attributes
    ----------
    score : ndarray
        (y, x) largest value over all windows, 0..1; NaN is no data.
    day : ndarray of int64
        (y, x) middle of the window of that value, days since 1970-01-01.
    windows : xarray.DataArray
        (window, y, x) all values.
    """

    score: FloatArray
    day: NDArray[np.int64]
    windows: xr.DataArray


def load_networks(weights: Sequence[PathType]) -> list[ERCNN]:
    """Load the networks of an experiment.

    Parameters
    ----------
    weights : sequence of path
        Files of published weights, or folders of ``save_pretrained``.

    Returns
    -------
    list of ERCNN

    Raises
    ------
    InputError
        If there is none, or a file is no network.
    """
    if not weights:
        raise InputError("no networks are given; name at least one file of weights with --weights")
    from terradelta.urban import load_network

    return [load_network(path) for path in weights]


def watch(cube: xr.DataTree, nets: Sequence[ERCNN], how: Watch) -> Peaks:
    """Run networks over all windows of a cube.

    Parameters
    ----------
    cube : xarray.DataTree
        The place.
    nets : sequence of ERCNN
        Networks; their mean counts.
    how : Watch
        Stride and device.

    Returns
    -------
    Peaks

    Raises
    ------
    InputError
        If the cube does not fit the networks.
    """
    from terradelta.urban import monitor, whole_period

    windows = monitor(cube, nets, stride=how.stride, device=how.device, precision=how.precision)
    period = whole_period(windows).load()
    return Peaks(period["score"].values, period["date"].values.astype(np.int64), windows)
