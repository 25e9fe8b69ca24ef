"""What belongs together in a pair of missions: bands, time steps, windows and the size of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from terradelta.errors import InputError

__all__ = ["ERAS", "ERS12LS5", "S1S2", "Branches", "Era", "era_of"]

Branches: TypeAlias = Literal["both", "sar", "optical"]
"""Which sensors a network reads."""


@dataclass(frozen=True)
class Era:
    """A radar and an optical mission that are read together.

    Attributes
    ----------
    name : str
        Short name, kept in model files.
    sar_bands : tuple of str
        Bands of one orbit direction; a stack holds them twice, ascending first.
    optical_bands : tuple of str
        Bands in the order of the stack, top-of-atmosphere reflectance.
    step : numpy.timedelta64
        δ: of the observations within one step the last is kept.
    window : numpy.timedelta64
        Δ: length of a window.
    fewest, most : int
        ω and Ω: observations that a window has at least and at most.
    sar_filters, optical_filters : int
        Width of the two branches of the network.
    resolution : float
        Pixel size that the published networks were trained at, m.

    Examples
    --------
    >>> S1S2.channels, ERS12LS5.channels
    (17, 9)
    >>> Era("alos_ls8", ("HH",), ("B2", "B3", "B4"), np.timedelta64(4, "D"), np.timedelta64(365, "D"),
    ...     20, 90, 4, 12, 30.0).channels
    5
    """

    name: str
    sar_bands: tuple[str, ...]
    optical_bands: tuple[str, ...]
    step: np.timedelta64
    window: np.timedelta64
    fewest: int
    most: int
    sar_filters: int
    optical_filters: int
    resolution: float

    @property
    def sar_channels(self) -> int:
        """Radar channels: all bands of both directions."""
        return 2 * len(self.sar_bands)

    @property
    def optical_channels(self) -> int:
        """Optical channels."""
        return len(self.optical_bands)

    @property
    def channels(self) -> int:
        """Channels of a whole frame."""
        return self.sar_channels + self.optical_channels

    def channels_of(self, branches: Branches) -> slice:
        """Give the channels of a whole frame that some branches read.

        Examples
        --------
        >>> S1S2.channels_of("optical")
        slice(4, 17, None)
        """
        first = self.sar_channels if branches == "optical" else 0
        return slice(first, self.sar_channels if branches == "sar" else self.channels)


S1S2 = Era(
    name="s1s2",
    sar_bands=("VV", "VH"),
    optical_bands=(
        "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
    ),
    step=np.timedelta64(2, "D"),
    window=np.timedelta64(182, "D"),
    fewest=35,
    most=92,
    sar_filters=10,
    optical_filters=26,
    resolution=10.0,
)  # fmt: skip
"""Sentinel-1 and Sentinel-2 (L1C), 2017 until now."""

ERS12LS5 = Era(
    name="ers12ls5",
    sar_bands=("VV",),
    optical_bands=("B1", "B2", "B3", "B4", "B5", "B6", "B7"),
    step=np.timedelta64(1, "D"),
    window=np.timedelta64(365, "D"),
    fewest=25,
    most=110,
    sar_filters=4,
    optical_filters=20,
    resolution=30.0,
)
"""ERS-1/2 and Landsat 5 TM, 1991 to 2011."""

ERAS: Mapping[str, Era] = MappingProxyType({era.name: era for era in (S1S2, ERS12LS5)})
"""Known eras by name."""


def era_of(era: Era | str) -> Era:
    """Give an era by name, or the one that was given.

    Raises
    ------
    InputError
        If the name is unknown.

    Examples
    --------
    >>> era_of("s1s2").optical_filters
    26
    """
    if isinstance(era, Era):
        return era
    if era not in ERAS:
        raise InputError(
            f"no era is called {era!r}; choose from {', '.join(ERAS)}, or give an Era of your own"
        )
    return ERAS[era]
