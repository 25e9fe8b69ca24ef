"""Runs a network on chips over an image and averages where they overlap; memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from terradelta.errors import InputError
from terradelta.types import Size

__all__ = ["Edges", "check_stride", "covered", "slide", "whole_size"]

Edges: TypeAlias = Literal["published", "reflect"]


class _Block(NamedTuple):
    """Chips that are run at once: their first row and column, and how many of them each way."""

    row: int
    column: int
    rows: int
    columns: int


def check_stride(stride: int, chip: int) -> None:
    """Refuse a stride that leaves gaps.

    Raises
    ------
    InputError
        If it is not between 1 and the side of a chip.
    """
    if not 1 <= stride <= chip:
        raise InputError(f"stride is {stride}; give 1 to {chip}, the side of a chip")


def covered(size: Size, chip: int, stride: int) -> Size:
    """Give the rows and columns that whole chips cover from the upper left corner on.

    Examples
    --------
    >>> covered(Size(100, 101), 16, 16), covered(Size(10, 40), 16, 7)
    (Size(y=96, x=96), Size(y=0, x=37))
    """
    return Size(*((length - chip) // stride * stride + chip if length >= chip else 0 for length in size))


def whole_size(size: Size, chip: int, stride: int) -> Size:
    """Give the least size that whole chips cover and the image fits into.

    Examples
    --------
    >>> whole_size(Size(100, 101), 16, 16), whole_size(Size(10, 40), 16, 7)
    (Size(y=112, x=112), Size(y=16, x=44))
    """
    return Size(*(max(0, -((chip - length) // stride)) * stride + chip for length in size))


def slide(
    images: Tensor, work: Callable[[Tensor], tuple[Tensor, Tensor]], chip: int, stride: int, together: int
) -> Tensor:
    """Run a function over all chips and average its two results pixel by pixel.

    Parameters
    ----------
    images : Tensor
        (time, band, y, x); rows and columns that no whole chip covers are not looked at.
    work : callable
        Takes (chip, time, band, y, x) and gives two tensors (chip, band, y, x).
    chip, stride : int
        Side of a chip, and step from one to the next, pixels.
    together : int
        Most chips at once.

    Returns
    -------
    Tensor
        (2 * band, y, x); NaN where no chip lies.
    """
    bands, size = images.shape[1], Size(*images.shape[-2:])
    total = images.new_zeros((2 * bands, *size))
    inner = covered(size, chip, stride)
    if min(inner) == 0:
        return total.fill_(torch.nan)
    windows = images.unfold(-2, chip, stride).unfold(-2, chip, stride)
    for block in _blocks(Size(*windows.shape[2:4]), together):
        y, x = slice(block.row, block.row + block.rows), slice(block.column, block.column + block.columns)
        chips = windows[:, :, y, x].permute(2, 3, 0, 1, 4, 5).flatten(0, 1)
        both = torch.cat(work(chips), dim=1)
        area = ((block.rows - 1) * stride + chip, (block.columns - 1) * stride + chip)
        flat = both.flatten(1).T[None]
        piece = functional.fold(flat, area, kernel_size=chip, stride=stride)[0]
        top, left = block.row * stride, block.column * stride
        total[:, top : top + area[0], left : left + area[1]] += piece
    down, across = (_times(length, chip, stride, total) for length in size)
    return total / (down[:, None] * across)


def _blocks(grid: Size, together: int) -> Iterator[_Block]:
    """Cut the grid of chips into blocks, in whole rows of chips if these fit."""
    columns = min(grid.x, max(together, 1))
    rows = min(grid.y, max(together // columns, 1)) if columns == grid.x else 1
    for row in range(0, grid.y, rows):
        for column in range(0, grid.x, columns):
            yield _Block(row, column, min(rows, grid.y - row), min(columns, grid.x - column))


def _times(length: int, chip: int, stride: int, like: Tensor) -> Tensor:
    """Count the chips over each row (or column)."""
    times = like.new_zeros(length)
    for start in range(0, length - chip + 1, stride):
        times[start : start + chip] += 1
    return times
