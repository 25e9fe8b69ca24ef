"""Nodes of large neighbourhoods, and weights that blend what was fitted at each without a seam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.windows.blocks import Slices

__all__ = ["Nodes"]


@dataclass(frozen=True)
class Nodes:
    """A coarse grid of nodes over a raster, each in the middle of a cell of about `spacing` pixels.

    Attributes
    ----------
    size : Size
        Rows and columns of the raster.
    spacing : int
        Wanted side of a cell in pixels; cells are made equal.

    Raises
    ------
    InputError
        If the spacing is not positive.

    Examples
    --------
    >>> nodes = Nodes(Size(100, 250), spacing=100)
    >>> nodes.shape
    Size(y=1, x=2)
    >>> which, weights = nodes.weights((slice(0, 100), slice(0, 250)))
    >>> which.tolist(), bool(np.allclose(weights.sum(axis=0), 1))
    ([0, 1], True)
    """

    size: Size
    spacing: int

    def __post_init__(self) -> None:
        if self.spacing < 1:
            raise InputError(f"spacing is {self.spacing}; give at least 1 pixel")

    @property
    def shape(self) -> Size:
        """Rows and columns of nodes."""
        return Size(*(max(1, round(length / self.spacing)) for length in self.size))

    def __len__(self) -> int:
        return self.shape.y * self.shape.x

    def cell(self, node: int) -> Slices:
        """Pixels of one node's cell; the cells cover the raster exactly once."""
        place = divmod(node, self.shape.x)
        first, last = (
            slice(length * i // count, length * (i + 1) // count)
            for i, count, length in zip(place, self.shape, self.size, strict=True)
        )
        return first, last

    def around(self, node: int, reach: int = 1) -> list[int]:
        """List the nodes up to some cells away from one, itself among them.

        Parameters
        ----------
        node : int
            Its number.
        reach : int
            Cells away, in rows and in columns.

        Returns
        -------
        list of int
            Their numbers, row by row.

        Examples
        --------
        >>> Nodes(Size(30, 30), spacing=10).around(0)
        [0, 1, 3, 4]
        """
        row, column = divmod(node, self.shape.x)
        rows = range(max(row - reach, 0), min(row + reach + 1, self.shape.y))
        columns = range(max(column - reach, 0), min(column + reach + 1, self.shape.x))
        return [r * self.shape.x + c for r in rows for c in columns]

    def weights(self, part: Slices) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Bilinear weights of the nodes that matter for a part of the raster.

        Parameters
        ----------
        part : slices
            Rows and columns.

        Returns
        -------
        nodes : ndarray
            (node,) their numbers.
        weights : ndarray
            (node, y, x), summing to one at every pixel; beyond the outermost nodes these count alone.
        """
        (rows, row_weights), (columns, column_weights) = (
            _hat(length, count, piece)
            for length, count, piece in zip(self.size, self.shape, part, strict=True)
        )
        nodes = (rows[:, None] * self.shape.x + columns).ravel()
        weights = row_weights[:, None, :, None] * column_weights[None, :, None, :]
        return nodes, weights.reshape(len(nodes), *weights.shape[2:])


def _hat(length: int, count: int, part: slice) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Give the nodes that matter along one axis, and their piecewise linear weights, (node, pixel)."""
    places = (np.arange(part.start, part.stop) + 0.5) * count / length - 0.5
    places = np.clip(places, 0, count - 1)
    weights = np.clip(1 - np.abs(places - np.arange(count)[:, None]), 0, 1).astype(np.float32)
    needed = np.flatnonzero(weights.any(axis=1))
    return needed, weights[needed]
