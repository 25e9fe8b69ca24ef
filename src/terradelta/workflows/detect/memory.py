"""How many processes, and how large a block, stay within the memory setting."""

from __future__ import annotations

import math
import os

from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.detect.methods import halo

__all__ = ["bytes_per_pixel", "choose", "most_workers"]

_PROCESS_BYTES = 320 * 2**20
_STEP = 32
_LEAST_BLOCK, _LARGEST_BLOCK = 64, 1024
_ROOMY_BLOCK = 256
_BLOCKS_PER_WORKER = 2


def bytes_per_pixel(settings: DetectSettings, images: int, bands: int) -> int:
    """Estimate what a block needs at its peak, per pixel read.

    Only the history is held, so the length of the series does not matter; the omnibus test keeps sums alone,
    but for one acquisition it takes the series of its history at once.
    """
    if settings.method == "omnibus":
        return 160 + 16 * bands * (images if settings.time is not None else 4)
    confirm = settings.in_a_row
    kept = (8 if settings.method == "robust" else 4) * bands * settings.robust.history
    compared = 8 * bands * settings.robust.history
    return kept + compared + (8 + 4 * bands) * confirm + 80 * bands + 100


def most_workers(settings: DetectSettings, size: Size) -> int:
    """Give the number of processes asked for, or of cores, and no more than there are blocks for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pieces = math.prod(math.ceil(length / _ROOMY_BLOCK) for length in size)
    return min(settings.workers or cores, pieces)


def choose(
    settings: DetectSettings, size: Size, images: int, bands: int, *, most: int, block: int | None = None
) -> tuple[int, int]:
    """Choose the number of processes and the side of a block.

    Parameters
    ----------
    settings : DetectSettings
        Method and memory.
    size : Size
        Rows and columns of the raster.
    images, bands : int
        Of the longest series.
    most : int
        Processes at most.
    block : int, optional
        Side of the blocks of an unfinished run, which stay as they are.

    Returns
    -------
    workers, block : int
        Number of processes, and side in pixels.

    Raises
    ------
    InputError
        If not even the smallest block of one process fits.
    """
    each = bytes_per_pixel(settings, images, bands)
    margin = 2 * halo(settings)
    for workers in range(most, 0, -1):
        processes = workers + 1 if workers > 1 else 1
        room = (settings.memory - processes * _PROCESS_BYTES) / workers
        side = int(math.sqrt(max(room, 0) / each)) - margin
        side = min(side - side % _STEP, _LARGEST_BLOCK)
        if side >= (block or (_ROOMY_BLOCK if workers > 1 else _LEAST_BLOCK)):
            return workers, block or min(side, _fair_share(size, workers))
    least = (block or _LEAST_BLOCK) + margin
    kind = f"blocks of the unfinished run ({block} pixels)" if block else "smallest blocks"
    raise InputError(
        f"memory is {settings.memory / 2**20:.0f} MiB, but the {kind} need at least "
        f"{math.ceil((least**2 * each + _PROCESS_BYTES) / 2**20)} MiB; give more memory"
    )


def _fair_share(size: Size, workers: int) -> int:
    """Give the side of blocks that keep all processes busy, without being small."""
    if workers == 1:
        side = float(max(size))
    else:
        side = max(math.sqrt(math.prod(size) / (workers * _BLOCKS_PER_WORKER)), _ROOMY_BLOCK)
    return math.ceil(side / _STEP) * _STEP
