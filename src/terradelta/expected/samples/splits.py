"""Parts of a cube for training, validation and test that share neither an image nor a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from terradelta.cube.acquisitions import as_time
from terradelta.errors import InputError
from terradelta.expected.samples.places import Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Area", "Share", "make_shares"]

_FIRST = np.datetime64("1677-09-22", "ns")
_LAST = np.datetime64("2262-04-11", "ns")
_PARTS: tuple[Part, ...] = get_args(Part)


class Area(NamedTuple):
    """A rectangle of the cube in pixels; the stops do not belong to it."""

    y_start: int
    y_stop: int
    x_start: int
    x_stop: int

    def positions(self, height: int, width: int) -> tuple[int, int]:
        """Count the rows and columns at which a block can start."""
        return self.y_stop - self.y_start - height + 1, self.x_stop - self.x_start - width + 1


class Share(NamedTuple):
    """What one part may use: every image of its samples lies in the period, every pixel in the area.

    Attributes
    ----------
    part : str
        Its name.
    start, stop : numpy.datetime64
        Its period, the stop excluded.
    area : Area
        Its rectangle.
    """

    part: Part
    start: np.datetime64
    stop: np.datetime64
    area: Area

    def within(self, times: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """Tell which times belong to the period."""
        inside: NDArray[np.bool_] = (times >= self.start) & (times < self.stop)
        return inside


def make_shares(
    size: tuple[int, int],
    split_time: Any = None,
    areas: Mapping[Part, float] | None = None,
    *,
    guard: int = 0,
    seed: int = 0,
) -> tuple[Share, ...]:
    """Cut a cube into parts in time, in space, or in both.

    Parameters
    ----------
    size : (int, int)
        Rows and columns of the cube.
    split_time : time, pair of times or None
        One time: training (and validation) before it, test from it on. Two: validation between them.
    areas : mapping or None
        Share of the area by part, 0..1; strips across the longer side, in an order drawn by `seed`. A part
        without a share may lie anywhere if its period is its own; training gets what is left over.
    guard : int
        Rows or columns between two strips that belong to none.
    seed : int
        Order of the strips.

    Returns
    -------
    tuple of Share
        One per part, in the order train, validation, test.

    Raises
    ------
    InputError
        Shares or times that make no sense.

    Examples
    --------
    >>> for share in make_shares((100, 400), areas={"train": 0.75, "test": 0.25}, seed=1):
    ...     print(share.part, share.area.x_start, share.area.x_stop)
    train 0 300
    test 300 400
    """
    periods = _periods(split_time)
    shares = _fractions(periods, areas)
    strips = _strips(size, shares, guard, seed)
    whole = Area(0, size[0], 0, size[1])
    named = [part for part in _PARTS if part in strips or _alone(part, periods)]
    named = named or ["train"]
    return tuple(Share(part, *periods[part], strips.get(part, whole)) for part in named)


def _periods(split_time: Any) -> dict[Part, tuple[np.datetime64, np.datetime64]]:
    if split_time is None:
        return dict.fromkeys(_PARTS, (_FIRST, _LAST))
    pair = split_time if isinstance(split_time, tuple | list) else (split_time, split_time)
    if len(pair) != 2:
        raise InputError(f"split_time has {len(pair)} times; give one, or two (validation from, test from)")
    middle, last = as_time(pair[0]), as_time(pair[1])
    if middle > last or (middle == last and pair is split_time):
        raise InputError(f"split_time: {pair[0]} is not before {pair[1]}; give the earlier time first")
    before = (_FIRST, middle)
    return {
        "train": before,
        "validation": before if middle == last else (middle, last),
        "test": (last, _LAST),
    }


def _alone(part: Part, periods: Mapping[Part, tuple[np.datetime64, np.datetime64]]) -> bool:
    """Tell whether a part has a period that it shares with no other, or is the first of those who do."""
    if part == "train":
        return True
    return all(periods[other] != periods[part] for other in _PARTS if other != part)


def _fractions(periods: Mapping[Part, Any], areas: Mapping[Part, float] | None) -> dict[Part, float]:
    if not areas:
        return {}
    for part, share in areas.items():
        if part not in _PARTS or not 0 < share <= 1:
            raise InputError(
                f"areas: {part!r} has the share {share!r}; give shares above 0, up to 1, "
                f"for {', '.join(_PARTS)}"
            )
    total = sum(areas.values())
    if total > 1 + 1e-9:
        raise InputError(f"areas: the shares sum up to {total:g}; they may reach 1")
    shares = {part: float(areas[part]) for part in _PARTS if part in areas}
    if "train" not in shares:
        if total > 1 - 1e-9:
            raise InputError("areas: nothing is left over for train; lower the other shares")
        shares = {"train": 1 - total, **shares}
    return shares


def _strips(size: tuple[int, int], shares: Mapping[Part, float], guard: int, seed: int) -> dict[Part, Area]:
    if guard < 0:
        raise InputError(f"guard is {guard}; give a number of pixels, 0 or more")
    if not shares:
        return {}
    order = [list(shares)[place] for place in np.random.default_rng([seed, 1]).permutation(len(shares))]
    along = 0 if size[0] > size[1] else 1
    room = size[along] - guard * (len(order) - 1)
    ends = np.floor(np.cumsum([shares[part] for part in order]) * room + 1e-6).astype(int)
    strips, start = {}, 0
    for number, (part, end) in enumerate(zip(order, ends, strict=True)):
        first, stop = start + guard * number, int(end) + guard * number
        strips[part] = Area(first, stop, 0, size[1]) if along == 0 else Area(0, size[0], first, stop)
        start = int(end)
    return strips
