"""A source without a server: images known by their day, with faults that can be switched on."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.layers import Flight
from terradelta.sources.remote.offers import Findings, Images, LayerOffer, Offer, Query

CRS = "EPSG:32631"
SMALL = GeoBox((20, 30), Affine(10, 0, 500_000, 0, -10, 5_000_000), CRS)
LARGE = GeoBox((1500, 1100), Affine(10, 0, 500_000, 0, -10, 5_000_000), CRS)


def day(number: int) -> np.datetime64:
    return np.datetime64("2020-01-01T17:30:00", "ns") + np.timedelta64(6 * number, "D")


def truth(number: int, grid: GeoBox, bands: int) -> np.ndarray:
    """Linear power that follows from place and day alone, the same for a block as for the whole."""
    column, row = ~grid.affine @ (500_000, 5_000_000)
    y, x = np.mgrid[: grid.shape[0], : grid.shape[1]].astype(np.float64)
    plane = 0.1 + 0.05 * np.sin(0.01 * (x - column) + 0.02 * (y - row) + number)
    return np.stack([plane * (band + 1) for band in range(bands)]).astype(np.float32)


@dataclass
class Server:
    """Counts what is read, and fails on demand."""

    reads: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Exception] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    wait: float = 0.0
    outstanding: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, key: str, number: int, bands: int, optical: bool, grid: GeoBox) -> Images:
        with self.lock:
            self.reads[key] += 1
            self.outstanding += 1
            self.most = max(self.most, self.outstanding)
        try:
            time.sleep(self.wait)
            if key in self.faults:
                raise self.faults[key]
            values = truth(number, grid, bands)
            if key in self.empty:
                values[:] = np.nan
            return Images(values, values[0] > 0.1 if optical else None)
        finally:
            with self.lock:
                self.outstanding -= 1

    def offer(self, number: int, group: str = "sar", **changes: object) -> Offer:
        bands = ("VV", "VH") if group == "sar" else ("B02", "B03", "B04")
        key = f"synthetic/{group}/{number}"

        def read(grid: GeoBox) -> Images:
            return self.read(key, number, len(bands), group == "optical", grid)

        told = {
            "key": key, "source": "synthetic", "product": group, "group": group, "time": day(number),
            "bands": bands, "read": read, "source_id": f"image-{number}",
            "flight": Flight("S1A" if group == "sar" else "S2A", "ascending", 88),
        }  # fmt: skip
        return Offer(**(told | changes))  # type: ignore[arg-type]


@dataclass(frozen=True)
class SyntheticSource:
    """Gives the images and layers of a server that lie in the period."""

    server: Server
    numbers: tuple[int, ...]
    groups: tuple[str, ...] = ("sar", "optical")
    name: str = "synthetic"
    layers: tuple[LayerOffer, ...] = ()
    products: tuple[str, ...] = ()

    def search(self, query: Query) -> Findings:
        if "broken" in query.products:
            raise SourceError("broken is no product")
        offers = [self.server.offer(number, group) for number in self.numbers for group in self.groups]
        return Findings(tuple(one for one in offers if one.time in query.period), self.layers)
