"""What simulated changes leave: the changed images and the truth beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.types import Offset

__all__ = ["Injected", "InjectedChange", "InjectedSeries"]


@dataclass(frozen=True)
class InjectedChange:
    """Truth of one simulated change.

    Attributes
    ----------
    number : int
        As in the mask, from 1 on.
    kind : str
        As in `Recipe`.
    centre : Offset
        Row and column of the middle of its outline.
    pixels : int
        How many pixels it really changed; 0 if later changes cover it.
    change : tuple of float
        Mean change per band, dB; 0 without pixels. In a series that of the full change, over all dates on
        which it is seen.
    """

    number: int
    kind: str
    centre: Offset
    pixels: int
    change: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give the truth as JSON types."""
        return {**asdict(self), "centre": list(self.centre), "change": list(self.change)}


@dataclass(frozen=True, eq=False)
class Injected:
    """One image with simulated changes.

    Attributes
    ----------
    image : ndarray of float32, (band, y, x)
        dB; untouched to the last bit where nothing changes.
    mask : ndarray of int32, (y, x)
        0, or the number of the change: what really changed, or, with ``mask_says=False``, the outlines before
        whole superpixels.
    superpixels : ndarray of int64, (y, x), or None
        Numbers of the superpixels that changed together.
    changes : tuple of InjectedChange
        All that were drawn, by number.
    why : str
        Why there are no changes; "" if there are some.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.int32]
    superpixels: NDArray[np.int64] | None
    changes: tuple[InjectedChange, ...]
    why: str = ""


@dataclass(frozen=True, eq=False)
class InjectedSeries:
    """A series of images with simulated changes.

    Attributes
    ----------
    images : ndarray of float32, (time, band, y, x)
        dB.
    mask, superpixels, changes, why
        As in `Injected`; the same for all dates.
    share : ndarray of float64, (time,)
        How much of the change each image shows: 0 none, 1 all.
    """

    images: NDArray[np.float32]
    mask: NDArray[np.int32]
    share: NDArray[np.float64]
    changes: tuple[InjectedChange, ...]
    superpixels: NDArray[np.int64] | None = None
    why: str = ""
