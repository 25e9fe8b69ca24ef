"""What monitoring was told, checked: networks, tiles, windows."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from terradelta.errors import CubeError, InputError
from terradelta.urban.defaults import DEAD_ZONE, ORIGINAL_TILE, Tiling
from terradelta.urban.era import ERAS, Branches, Era
from terradelta.urban.network import ERCNN
from terradelta.urban.stack import Stack
from terradelta.windows.times import TimeWindow, complete, time_windows

__all__ = [
    "check_choice",
    "identity",
    "limits_of",
    "networks_of",
    "stack_of",
    "tile_of",
    "whole",
    "windows_of",
]


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices.

    Raises
    ------
    InputError
        With the choices.
    """
    if value not in choices:
        raise InputError(f"{name} is {value!r}; choose from {', '.join(choices)}")


def whole(name: str, value: Any, least: int) -> int:
    """Take a whole number.

    Raises
    ------
    InputError
        If it is none, or less than the least.

    Examples
    --------
    >>> whole("stride", np.int64(5), 1)
    5
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}; give a whole number") from None
    if number < least:
        raise InputError(f"{name} is {number}; give {least} or more")
    return number


def networks_of(nets: ERCNN | Sequence[ERCNN]) -> list[ERCNN]:
    """Take one network or several that belong together.

    Raises
    ------
    InputError
        If there is none, something else, or they read different frames.
    """
    together = [nets] if isinstance(nets, torch.nn.Module) else list(nets)
    if not together:
        raise InputError(
            "nets is empty; give at least one network, such as td.urban.load_keras_weights(path)"
        )
    for net in together:
        if not isinstance(net, ERCNN):
            raise InputError(f"nets holds {type(net).__name__}; give networks (td.urban.ERCNN)")
        if net.era != together[0].era or net.branches != together[0].branches:
            first = together[0]
            raise InputError(
                f"the networks differ: {first.era.name} ({first.branches}) and "
                f"{net.era.name} ({net.branches}); give networks of one era and the same branches"
            )
    return together


def identity(net: ERCNN) -> str:
    """Tell a network from another by its weights."""
    content = sha256()
    for name, values in sorted(net.state_dict().items()):
        content.update(f"{name} {tuple(values.shape)}".encode())
        content.update(np.ascontiguousarray(values.detach().cpu().numpy()).tobytes())
    return content.hexdigest()


def stack_of(tree: xr.DataTree, era: Era, branches: Branches, start: Any, end: Any) -> Stack:
    """Prepare the frames; say so where the bands are those of another era.

    Raises
    ------
    CubeError
        If the cube lacks what the networks read.
    """
    try:
        return Stack.of(tree, era, branches=branches, start=start, end=end)
    except CubeError as error:
        fitting = [
            other.name for other in ERAS.values() if other != era and _has_bands(tree, other, branches)
        ]
        if not fitting or _has_bands(tree, era, branches):
            raise
        raise CubeError(
            f"{error}: these are the bands of {fitting[0]}, the networks are of {era.name}; "
            "give networks of that era"
        ) from None


def _has_bands(tree: xr.DataTree, era: Era, branches: Branches) -> bool:
    wanted = {"sar": era.sar_bands, "optical": era.optical_bands}
    groups = wanted if branches == "both" else (branches,)
    return all(
        name in tree.children
        and set(wanted[name]) <= {str(band) for band in tree[name].coords["band"].values}
        for name in groups
    )


def tile_of(tile: int | None, dead_zone: int | None, tiling: Tiling) -> tuple[int, int | None]:
    """Give dead zone and tile, None where the tile may be chosen.

    Raises
    ------
    InputError
        If they are out of range, or nothing is left of a tile.
    """
    original = tiling == "original"
    zone = (0 if original else DEAD_ZONE) if dead_zone is None else whole("dead_zone", dead_zone, 0)
    wanted = ORIGINAL_TILE if tile is None and original else tile
    if wanted is not None:
        wanted = whole("tile", wanted, 1)
        if 2 * zone >= wanted:
            raise InputError(
                f"dead_zone is {zone}, which leaves nothing of a tile of {wanted}; "
                f"give at most {(wanted - 1) // 2}, or a larger tile"
            )
    return zone, wanted


def limits_of(era: Era, fewest: int | None, most: int | None) -> tuple[int, int]:
    """Give the least and the most observations of a window, by default those of the era.

    Raises
    ------
    InputError
        If they are out of range.
    """
    least = era.fewest if fewest is None else whole("fewest", fewest, 1)
    return least, (max(era.most, least) if most is None else whole("most", most, least))


def windows_of(
    times: NDArray[np.datetime64], era: Era, stride: int, fewest: int, most: int, incomplete: bool
) -> list[TimeWindow]:
    """Give the windows to compute, at least one.

    Raises
    ------
    InputError
        If none has enough observations.
    """
    found = time_windows(times, length=era.window, stride=stride, fewest=fewest, most=most)
    if not found:
        every = time_windows(times, length=era.window, stride=1, fewest=1, most=most)
        fullest = max(len(window) for window in every)
        days = era.window / np.timedelta64(1, "D")
        raise InputError(
            f"no window of {days:g} days has enough observations: the fullest has {fullest}, "
            f"needed are {fewest}; add observations to the cube"
        )
    kept = found if incomplete else [window for window in found if complete(window, times, most)]
    if not kept:
        raise InputError(
            f"the end of the data cuts all windows short ({len(found)}); add later observations, "
            "or keep them (incomplete)"
        )
    return kept
