"""What a catalogue offers for a place and a time: known from its entries, read only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import OpticalAcquisition, SarAcquisition
from terradelta.sources.area import Area
from terradelta.sources.layers import Flight
from terradelta.sources.planned import lazy_blocks
from terradelta.sources.times import Time
from terradelta.types import Period

__all__ = ["Findings", "Images", "LayerOffer", "Offer", "Period", "Query", "Source"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a source is asked for.

    Attributes
    ----------
    area : Area
        The place.
    grid : GeoBox
        Grid of the cube.
    period : Period
        Times that count.
    products : tuple of str
        Products of the source, by its own names; empty: those that it gives unless told otherwise.
    polarisations : tuple of str
        Radar bands; an acquisition without all of them is left out.
    bands : tuple of str
        Optical bands (B01 ... B12, B8A); empty: all of the product.
    orbits : tuple of int
        Relative orbits of radar; empty: all.
    direction : str
        "ascending" or "descending" radar; empty: both.
    max_cloud : float
        Optical acquisitions with more clouds, in percent of their tile, are left out.
    asked : frozenset of str
        Parts of the period that were searched before with the same request and hold nothing: see `Findings`.
    """

    area: Area
    grid: GeoBox
    period: Period
    products: tuple[str, ...] = ()
    polarisations: tuple[str, ...] = ("VV", "VH")
    bands: tuple[str, ...] = ()
    orbits: tuple[int, ...] = ()
    direction: str = ""
    max_cloud: float = 100.0
    asked: frozenset[str] = frozenset()

    def wants(self, flight: Flight) -> bool:
        """Whether a radar pass is asked for."""
        return (not self.orbits or flight.relative_orbit in self.orbits) and (
            not self.direction or flight.orbit_direction == self.direction
        )


class Images(NamedTuple):
    """Pixels of one acquisition on a grid.

    Attributes
    ----------
    values : array, (band, y, x)
        Linear power, or reflectance; float32, NaN = no data.
    clear : array of bool, (y, x), or None
        For optical images: neither cloud nor shadow. None: wherever all bands have data.
    """

    values: NDArray[np.float32]
    clear: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One acquisition that a source offers.

    Attributes
    ----------
    key : str
        Its name for good: the same search tomorrow gives the same key. ``source/product/...``.
    source, product : str
        Who offers it, and which of its products it is.
    group : {"sar", "optical"}
        Group of the cube.
    time : numpy.datetime64
        Start of the acquisition, UTC, nanoseconds.
    bands : tuple of str
        Names of its bands, in the order of `read`'s pixels.
    read : callable
        Gives the pixels on a grid, which is at most a block of 1024 × 1024 pixels; can be pickled. Raises
        `UnavailableError` where trying again may help, `AccessError` where credentials are missing or wrong,
        `SourceError` where nothing helps.
    flight : Flight
        The pass.
    source_id : str
        Name of the product, of the first one of a mosaic with ``+n``.
    offset_applied : bool
        The Sentinel-2 offset of -1000 DN is taken off, by the provider or by us.
    radiometry : str
        What the radar values measure: "gamma0", "sigma0", ..., with "-rtc" where terrain is corrected for;
        empty if unknown.
    estimated : tuple of str
        Names of values of `flight` that are estimates.
    nbytes : int
        Bytes that are to be transferred, as far as it can be told; 0 if unknown.
    facts : mapping of str to str
        How the pixels are harmonised, and what they are made from; kept in the cube's manifest.
    """

    key: str
    source: str
    product: str
    group: Literal["sar", "optical"]
    time: Time
    bands: tuple[str, ...]
    read: Callable[[GeoBox], Images]
    flight: Flight = field(default_factory=Flight)
    source_id: str = ""
    offset_applied: bool = False
    radiometry: str = ""
    estimated: tuple[str, ...] = ()
    nbytes: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)

    def load(self, grid: GeoBox) -> SarAcquisition | OpticalAcquisition:
        """Give the acquisition on a grid; pixels are read by dask, block by block, when they are asked for.

        Parameters
        ----------
        grid : GeoBox
            Grid of the cube.
        """
        optical = self.group == "optical"
        depth = len(self.bands) + optical
        planes = lazy_blocks(partial(_planes, self.read, optical), grid, np.dtype(np.float32), depth)
        return self.acquisition(planes[: len(self.bands)], planes[-1] > 0 if optical else None)

    def acquisition(self, values: Any, clear: Any) -> SarAcquisition | OpticalAcquisition:
        """Join pixels with what is known about them."""
        flight = self.flight
        if self.group == "sar":
            return SarAcquisition(
                time=self.time, bands=self.bands, backscatter=values, source_id=self.source_id,
                orbit_direction=flight.orbit_direction, relative_orbit=flight.relative_orbit,
                platform=flight.platform, incidence_angle=flight.incidence_angle, heading=flight.heading,
                radiometry=self.radiometry, estimated=",".join(self.estimated),
            )  # fmt: skip
        return OpticalAcquisition(
            time=self.time, bands=self.bands, reflectance=values, clear=clear, platform=flight.platform,
            source_id=self.source_id, offset_applied=self.offset_applied,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LayerOffer:
    """One layer without time that a source offers: a digital elevation model, land cover.

    Attributes
    ----------
    key, source, product : str
        As of :class:`Offer`.
    name : str
        Name in the cube: ``dem`` (m), ``land_cover``, ...
    categorical : bool
        Classes, which are never interpolated.
    read : callable
        Gives the values (y, x) on a grid; float32 with NaN, or integers with 0 for no data.
    nbytes : int
        Bytes that are to be transferred; 0 if unknown.
    facts : mapping of str to str
        What it is made from.
    """

    key: str
    source: str
    product: str
    name: str
    categorical: bool
    read: Callable[[GeoBox], NDArray[Any]]
    nbytes: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """What a search found.

    Attributes
    ----------
    offers : tuple of Offer
        Sorted by time, radar and optical.
    layers : tuple of LayerOffer
        Layers without time.
    weather : tuple of pathlib.Path
        Files with daily weather.
    notes : tuple of str
        Lines worth reading: what was left out and why.
    asked : tuple of str
        Parts of the period that hold nothing and are closed, so that they need not be searched again.
    """

    offers: tuple[Offer, ...] = ()
    layers: tuple[LayerOffer, ...] = ()
    weather: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()


class Source(Protocol):
    """Anything that can be asked for acquisitions of a place."""

    @property
    def name(self) -> str:
        """Name for messages and keys."""
        ...

    @property
    def products(self) -> tuple[str, ...]:
        """Names of its products; empty where only a search can tell."""
        ...

    def search(self, query: Query) -> Findings:
        """Look through the catalogue; no pixels are read."""
        ...


def _planes(read: Callable[[GeoBox], Images], optical: bool, grid: GeoBox) -> NDArray[np.float32]:
    """All bands and, for optical images, the mask as one more plane, so that a block is read once."""
    values, clear = read(grid)
    if not optical:
        return values
    seen = np.asarray(np.isfinite(values).all(axis=0) if clear is None else clear, dtype=np.float32)
    return np.concatenate([values, seen[None]])
