"""A threshold on a difference image: by hand, or from a wanted rate of false alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.expected.classifiers.files import read_classifier, write_classifier
from terradelta.expected.classifiers.streaming import ScoreStream
from terradelta.expected.differences.change_maps import NO_DATA, as_map, lazily
from terradelta.types import PathType

__all__ = ["Threshold", "score_of"]

Scored: TypeAlias = "xr.Dataset | xr.DataArray | NDArray[Any]"


def score_of(diff: Scored, layer: str = "") -> xr.DataArray | NDArray[Any]:
    """Give the one number per pixel that a threshold is put on.

    Parameters
    ----------
    diff : Dataset, DataArray or ndarray
        From `difference`; or scores as they are.
    layer : str
        Name of the variable; by default ``strength`` (standard deviations) where sigma was known, else
        ``length``.

    Returns
    -------
    DataArray or ndarray
        Larger = more change.

    Raises
    ------
    InputError
        If the Dataset has no such variable.
    """
    if not isinstance(diff, xr.Dataset):
        return diff if isinstance(diff, xr.DataArray) else np.asarray(diff)
    name = layer or ("strength" if "strength" in diff else "length")
    if name not in diff:
        have = ", ".join(map(str, diff.data_vars)) or "nothing"
        raise InputError(f"the threshold is of {name}, but diff has {have}; give what `difference` returned")
    return diff[name]


@dataclass(frozen=True)
class Threshold:
    """Calls a pixel changed where its score exceeds a value.

    Attributes
    ----------
    value : float
        In the unit of the score: dB for ``length``, standard deviations for ``strength``.
    layer : str
        Variable of a difference that it belongs to; empty: ``strength`` if there, else ``length``.

    Examples
    --------
    >>> Threshold(2.5).predict(np.array([1.0, 3.0, np.nan])).tolist()
    [0, 1, 255]
    >>> quiet = np.arange(101.0)
    >>> Threshold.fit(quiet, false_alarm_rate=0.05)
    Threshold(value=95.0, layer='')
    """

    value: float
    layer: str = ""

    def __post_init__(self) -> None:
        if not np.isfinite(self.value):
            raise InputError(f"the threshold is {self.value}; give a finite number")

    @classmethod
    def fit(
        cls,
        scores: Scored | Iterable[Scored],
        *,
        false_alarm_rate: float = 0.01,
        truth: ArrayLike | xr.DataArray | None = None,
        layer: str = "",
    ) -> Threshold:
        """Find the value that a wanted share of unchanged pixels exceeds.

        Parameters
        ----------
        scores : Dataset, DataArray, ndarray, or several of them
            Differences where nothing changed (or with `truth`). Lazy ones are read block by block; up to four
            million pixels the value is exact, beyond at most 0.05 % too high.
        false_alarm_rate : float
            Between 0 and 1.
        truth : array_like, optional
            (y, x), 0 = unchanged; other pixels are left out. Only with a single difference.
        layer : str
            See `Threshold`.

        Returns
        -------
        Threshold
            To predict with.

        Raises
        ------
        InputError
            If the rate is out of range, shapes differ or no pixel is valid.
        """
        if not 0 < false_alarm_rate < 1:
            raise InputError(
                f"false_alarm_rate is {false_alarm_rate}; give a share between 0 and 1, such as 0.01"
            )
        single = isinstance(scores, xr.Dataset | xr.DataArray | np.ndarray)
        several: list[Any] = [scores] if single else list(scores)
        if truth is not None and len(several) != 1:
            raise InputError("truth goes with one difference; leave the changed pixels out yourself (NaN)")
        stream = ScoreStream()
        used = layer
        for one in several:
            score = score_of(one, layer)
            used = used or (str(score.name) if isinstance(one, xr.Dataset) else "")  # type: ignore[union-attr]
            for part in _parts(score, truth):
                stream.add(part)
        return cls(stream.quantile(1 - false_alarm_rate), used)

    def predict(self, diff: Any) -> Any:
        """Map the changes of a difference.

        Parameters
        ----------
        diff : Dataset, DataArray or ndarray
            From `difference`, or scores.

        Returns
        -------
        DataArray or ndarray of uint8
            (y, x), 1 = changed, 0 = unchanged, 255 = no data; as lazy as `diff` is, on its grid.

        Raises
        ------
        InputError
            If the difference has not the layer that the threshold belongs to.
        """
        score = score_of(diff, self.layer)
        if not isinstance(score, xr.DataArray):
            return _mask(score, value=self.value)
        return as_map(lazily(_mask, score, kwargs={"value": self.value}), np.uint8)

    def save(self, path: PathType) -> None:
        """Write a JSON file, replaced in one step.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        write_classifier(path, "Threshold", {"value": self.value, "layer": self.layer})

    @classmethod
    def load(cls, path: PathType) -> Threshold:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If nothing is there, or something else.
        """
        found = read_classifier(path, "Threshold", {"value": float, "layer": str})
        return cls(**found)


def _mask(score: NDArray[Any], *, value: float) -> NDArray[np.uint8]:
    return np.where(np.isnan(score), np.uint8(NO_DATA), (score > value).astype(np.uint8))


def _parts(score: xr.DataArray | NDArray[Any], truth: Any) -> Iterator[NDArray[Any]]:
    """Give the scores of unchanged pixels, block by block where they are lazy."""
    values: Any = score.data if isinstance(score, xr.DataArray) else score
    known = None if truth is None else truth.data if isinstance(truth, xr.DataArray) else np.asarray(truth)
    if known is not None and known.shape != values.shape:
        raise InputError(
            f"truth {known.shape} and scores {values.shape} differ in shape; give one of each pixel"
        )
    if isinstance(values, np.ndarray):
        yield values if known is None else values[np.asarray(known) == 0]
        return
    from dask.array.core import slices_from_chunks

    for part in slices_from_chunks(values.chunks):  # type: ignore[no-untyped-call]
        block = np.asarray(values[part])
        yield block if known is None else block[np.asarray(known[part]) == 0]
