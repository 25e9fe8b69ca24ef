"""How a scene is cut for a network, so that the work stays within the memory setting."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

from terradelta.errors import InputError
from terradelta.expected.model import ExpectedImage
from terradelta.expected.prediction.footprint import PROCESS_BYTES, Demand, probe
from terradelta.expected.prediction.reader import halo_of
from terradelta.expected.prediction.tiling import PIECE, Tiling
from terradelta.types import Size

__all__ = ["PredictionPlan"]

_LOG = logging.getLogger(__name__)
_BLEND, _FIXED_SHARE, _UNKNOWN_REACH = 16, 4, 32


@dataclass(frozen=True)
class PredictionPlan:
    """What a model's network needs.

    Attributes
    ----------
    fixed : int or None
        The only size that it takes.
    margin : int
        Pixels around a tile that it has to see for a result without a seam.
    multiple : int
        What the first row and column that it sees should be multiples of.
    halo : int
        Pixels that the despeckling needs around all that.
    demand : Demand
        Memory.
    tells_sigma : bool
        Whether it gives standard deviations.
    """

    fixed: int | None
    margin: int
    multiple: int
    halo: int
    demand: Demand
    tells_sigma: bool

    @classmethod
    def of(cls, model: ExpectedImage) -> PredictionPlan:
        """Find out what a model needs, by running its network without numbers.

        Parameters
        ----------
        model : ExpectedImage
            The model.
        """
        network: Any = model.network
        fixed = getattr(network.config, "size", None)
        multiple = int(getattr(network, "multiple", 1))
        reach = 0 if fixed is not None else int(getattr(network, "reach", _UNKNOWN_REACH))
        found = probe(network, model.previous, fixed)
        bands = len(model.bands)
        prepared = 4 * bands * (6 * (model.previous + 1) + 12) + 64
        weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
        blending = 3 * 3 * 8 * bands * PIECE**2
        return cls(
            None if fixed is None else int(fixed),
            math.ceil(reach / multiple) * multiple,
            multiple,
            halo_of(model.preparation),
            Demand(found.per_pixel + prepared, PROCESS_BYTES + weights + blending),
            found.tells_sigma,
        )

    @property
    def around(self) -> int:
        """Pixels that are read around a tile at most."""
        return self.margin + self.halo + self.multiple - 1

    def cut(
        self, size: Size, block: int | None, overlap: int | None, memory: float, tile: int | None = None
    ) -> Tiling:
        """Cut a scene such that a block stays within the memory.

        Parameters
        ----------
        size : Size
            Rows and columns of the scene.
        block, overlap : int, optional
            As told.
        memory : float
            Bytes.
        tile : int, optional
            Side of the tiles of a run that is continued.

        Returns
        -------
        Tiling
            The tiles.

        Raises
        ------
        InputError
            If a block does not fit, or a setting is out of range.
        """
        if self.fixed is not None:
            return self._cut_fixed(self.fixed, size, block, overlap, memory)
        if tile is None and block is not None:
            tile = block - 2 * self.margin
            if tile < 1:
                raise InputError(
                    f"block is {block}, of which {2 * self.margin} are margin; "
                    f"give at least {2 * self.margin + 1}"
                )
        if tile is None:
            tile = self.demand.side(memory, self.around)
        else:
            self.demand.require(min(tile, max(size)) + 2 * self.around, memory, "a block")
        blend = min(_BLEND, tile - 1) if overlap is None else _checked(overlap, tile)
        return Tiling(size, tile, blend, self.margin, self.multiple)

    def _cut_fixed(
        self, fixed: int, size: Size, block: int | None, overlap: int | None, memory: float
    ) -> Tiling:
        if block not in (None, fixed):
            raise InputError(f"block is {block}, but the network takes {fixed} pixels only; leave block out")
        self.demand.require(fixed + 2 * self.halo, memory, "a block of the network")
        if min(size) < fixed:
            _LOG.warning(
                "the scene has %d x %d pixels, the network takes %d: mirrored at the edges", *size, fixed
            )
        return Tiling(size, fixed, fixed // _FIXED_SHARE if overlap is None else _checked(overlap, fixed))


def _checked(overlap: int, tile: int) -> int:
    if not 0 <= overlap < tile:
        raise InputError(f"overlap is {overlap}; give 0 to {tile - 1} pixels for tiles of {tile}")
    return overlap
