"""What the experiment fixes: patches, dates, discs, and what counts as the large real change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from terradelta.evaluate.opera.patches import Patch
from terradelta.simulate import discs
from terradelta.types import BoolArray, Size

__all__ = ["Protocol", "disc_mask", "large_change", "protocol_of"]


@dataclass(frozen=True)
class Protocol:
    """The fixed choices of the experiment; positions count from 0.

    Attributes
    ----------
    stable : tuple of str
        Patches without a large change, which get the discs.
    changed : str
        Patch with the large real change.
    dates : int
        Acquisitions that every patch must have.
    targets : tuple of int
        Positions of the images to judge.
    history : int
        Images before each target that count as known.
    discs : int
        Discs per target.
    radius : tuple of float
        Smallest and largest radius, pixels.
    decibel : float
        Change within the discs, both bands.
    wet : tuple of str
        Dates after rain, YYYY-MM-DD.
    rain : str
        The wet target.
    false_alarms : float
        Share of pixels of the dry targets that may exceed the threshold.
    large_history, large_targets : tuple of int
        Positions of the known images and of the targets for the large change.
    changed_below, unchanged_above : float
        Smoothed difference in dB of VH that counts as changed and as unchanged; between them nothing counts.
    window : int
        Side of that smoothing, pixels.
    also_taught : tuple of str
        Patches that networks learn from beside the stable and the changed one, before the first target.

    Examples
    --------
    >>> Protocol().targets[0], len(Protocol().targets)
    (20, 11)
    """

    stable: tuple[str, ...] = ("T137-292320-IW2", "T137-292321-IW2", "T137-292323-IW2")
    changed: str = "T137-292324-IW2"
    dates: int = 31
    targets: tuple[int, ...] = tuple(range(20, 31))
    history: int = 10
    discs: int = 3
    radius: tuple[float, float] = (6, 11)
    decibel: float = -2.5
    wet: tuple[str, ...] = (
        "2021-12-19",
        "2022-11-02",
        "2022-12-08",
        "2023-01-01",
        "2023-12-27",
        "2024-11-27",
    )
    rain: str = "2024-11-27"
    false_alarms: float = 0.01
    large_history: tuple[int, ...] = tuple(range(10, 20))
    large_targets: tuple[int, ...] = tuple(range(20, 25))
    changed_below: float = -2.5
    unchanged_above: float = -1.5
    window: int = 5
    also_taught: tuple[str, ...] = ("T137-292325-IW1", "T137-292318-IW2")


def protocol_of(patch: Patch, protocol: Protocol) -> Protocol:
    """Put the wet dates of a patch, if it has its own, into the protocol.

    Parameters
    ----------
    patch : Patch
        With or without wet dates of its own.
    protocol : Protocol
        Of the experiment.

    Returns
    -------
    Protocol
        For this patch.
    """
    wet = protocol.wet if patch.wet is None else patch.wet
    return replace(protocol, wet=wet, rain=patch.rain or protocol.rain)


def disc_mask(
    protocol: Protocol, size: Size, seed: int, patch: int, target: int, allowed: BoolArray | None = None
) -> BoolArray:
    """Draw the discs of one target; the same seed, patch and target give the same ones.

    Parameters
    ----------
    protocol : Protocol
        Number and radius.
    size : Size
        Rows and columns.
    seed, patch, target : int
        Of the experiment, number of the patch, position of the target.
    allowed : ndarray of bool, optional
        (y, x), where discs may lie; everywhere by default.

    Returns
    -------
    ndarray of bool
        (y, x), true inside.

    Examples
    --------
    >>> mask = disc_mask(Protocol(), Size(100, 100), seed=0, patch=0, target=20)
    >>> int(ndimage.label(mask)[1])
    3
    """
    return discs(size, protocol.discs, protocol.radius, np.random.default_rng([seed, patch, target]), allowed)


def large_change(patch: Patch, protocol: Protocol) -> tuple[BoolArray, BoolArray]:
    """Find the persistent real change as the later dry images against the earlier ones, smoothed.

    Where the patch knows its change, that is it. Wet scenes take no part. The mean over many dates has
    little speckle, and the window takes the rest, so
    this truth is far sharper than any single target.

    Parameters
    ----------
    patch : Patch
        With all dates.
    protocol : Protocol
        Which dates, thresholds and window.

    Returns
    -------
    changed, unchanged : ndarray of bool
        (y, x); both false in between and where there is no data.
    """
    if patch.changed is not None:
        known = np.isfinite(patch.linear).all(axis=(0, 1))
        return patch.changed & known, ~patch.changed & known
    vh = patch.decibel[:, patch.bands.index("VH")]

    def dry(positions: tuple[int, ...]) -> list[int]:
        return [position for position in positions if patch.days[position] not in protocol.wet]

    difference = vh[dry(protocol.targets)].mean(axis=0) - vh[dry(protocol.large_history)].mean(axis=0)
    valid = np.isfinite(difference)
    total = ndimage.uniform_filter(np.where(valid, difference, 0).astype(np.float64), protocol.window)
    share = ndimage.uniform_filter(valid.astype(np.float64), protocol.window)
    smooth = np.where(valid, total / np.where(valid, share, 1), np.nan)
    return smooth < protocol.changed_below, smooth > protocol.unchanged_above
