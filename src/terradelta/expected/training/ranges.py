"""Which conditions a network saw in training, and what lies beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from terradelta.expected.conditions import FEATURES
from terradelta.expected.inputs import Inputs

if TYPE_CHECKING:
    from terradelta.expected.statistics import Statistics

__all__ = ["Ranges", "beyond", "empty_ranges", "ranges_of", "widen"]

Ranges: TypeAlias = Mapping[str, tuple[float, float]]

_TOLERANCE = 1e-6
_PLATFORMS = frozenset(name for name in FEATURES if name.startswith("S1"))
_NAMES = {
    "precipitation_0": "precipitation of the day",
    "precipitation_1": "precipitation one day before",
    "precipitation_2": "precipitation two days before",
    "precipitation_3": "precipitation three days before",
}
_UNITS = {"temperature": "°C", "snow_depth": "cm", "heading": "°", "incidence": "°", "age": "days"}


def empty_ranges() -> Tensor:
    """Give the ranges of nothing: (2, feature), least = inf, greatest = -inf."""
    return torch.stack([torch.full((len(FEATURES),), torch.inf), torch.full((len(FEATURES),), -torch.inf)])


def widen(ranges: Tensor, inputs: Inputs) -> Tensor:
    """Take a batch into the ranges.

    Parameters
    ----------
    ranges : Tensor
        (2, feature).
    inputs : Inputs
        Its known conditions count.

    Returns
    -------
    Tensor
        (2, feature).
    """
    values, known = inputs.conditions.float(), inputs.known
    least = torch.where(known, values, torch.inf).amin(dim=(0, 1))
    greatest = torch.where(known, values, -torch.inf).amax(dim=(0, 1))
    return torch.stack([torch.minimum(ranges[0], least), torch.maximum(ranges[1], greatest)])


def ranges_of(tensor: Tensor) -> dict[str, tuple[float, float]]:
    """Give ranges by name; a feature that was never known is left out.

    Examples
    --------
    >>> ranges_of(empty_ranges())
    {}
    """
    pairs = zip(FEATURES, tensor.T.tolist(), strict=True)
    return {name: (least, greatest) for name, (least, greatest) in pairs if least <= greatest}


def beyond(inputs: Inputs, ranges: Ranges, statistics: Statistics) -> list[str]:
    """Name the conditions of a batch that are outside the ranges, in physical units.

    Parameters
    ----------
    inputs : Inputs
        Normalised.
    ranges : mapping
        From `ranges_of`; empty: nothing is known of the training, so nothing is beyond.
    statistics : Statistics
        Which normalised the inputs.

    Returns
    -------
    list of str
        Such as ``temperature 31 °C, seen -4 to 24 °C``.
    """
    if not ranges:
        return []
    found = ranges_of(widen(empty_ranges(), inputs))
    lines = [_line(name, span, ranges.get(name), statistics) for name, span in found.items()]
    return [line for line in lines if line]


def _line(
    name: str, span: tuple[float, float], seen: tuple[float, float] | None, statistics: Statistics
) -> str:
    if name in _PLATFORMS:
        unseen = span[1] > 0 and (seen is None or seen[1] <= 0)
        return f"platform {name}, never seen" if unseen else ""
    unit = f" {_UNITS.get(name, 'mm')}"
    plain = _NAMES.get(name, name.replace("_", " "))
    if seen is None:
        return f"{plain}, never seen"
    value = span[0] if span[0] < seen[0] - _TOLERANCE else span[1]
    if seen[0] - _TOLERANCE <= value <= seen[1] + _TOLERANCE:
        return ""
    told, least, greatest = (_physical(name, each, statistics) for each in (value, *seen))
    return f"{plain} {told:.4g}{unit}, seen {least:.4g} to {greatest:.4g}{unit}"


def _physical(name: str, value: float, statistics: Statistics) -> float:
    """Undo the normalisation of one feature."""
    if name == "temperature":
        return value * 30
    if name == "incidence":
        return 29 + value * 17
    if name in ("heading", "age"):
        return value * (360 if name == "heading" else 100)
    return value * (statistics.snow_depth_max if name == "snow_depth" else statistics.precipitation_max)
