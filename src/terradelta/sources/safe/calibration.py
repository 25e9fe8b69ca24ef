"""Digital numbers of Sentinel-1 images to linear power, by the tables of the product, noise taken off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError, SourceError
from terradelta.sources.safe.archive import Archive, number, text_of
from terradelta.sources.safe.product import SafeProduct

__all__ = ["MEASURES", "Measure", "Table", "calibrate"]

Measure = Literal["sigma0", "gamma0", "beta0"]

MEASURES = {"sigma0": "sigmaNought", "gamma0": "gamma", "beta0": "betaNought"}
"""Names of the tables in the products."""


@dataclass(frozen=True, eq=False)
class Table:
    """Values on some lines of an image, each line at its own pixels.

    Attributes
    ----------
    lines : array (n,)
        Rows, rising.
    pixels, values : tuple of array
        Of each line: columns, rising, and the values there.
    """

    lines: NDArray[np.float64]
    pixels: tuple[NDArray[np.float64], ...]
    values: tuple[NDArray[np.float64], ...]

    def on(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Give a window (y, x): linear along the lines, then between them."""
        places, targets = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
        before = np.clip(np.searchsorted(self.lines, targets, side="right") - 1, 0, len(self.lines) - 1)
        after = np.minimum(before + 1, len(self.lines) - 1)
        length = np.where(after > before, self.lines[after] - self.lines[before], 1)
        part = np.clip((targets - self.lines[before]) / length, 0, 1)[:, None]
        needed = range(before.min(), after.max() + 1) if len(targets) else range(1)
        known = np.stack([np.interp(places, self.pixels[each], self.values[each]) for each in needed])
        low, high = known[before - needed.start], known[after - needed.start]
        window: NDArray[np.float64] = low + part * (high - low)
        return window


@dataclass(frozen=True, eq=False)
class _Block:
    """How the noise of one sub-swath changes along the flight."""

    rows: slice
    columns: slice
    lines: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Noise:
    """Noise across the flight, times that along it where the product tells it (since 2018)."""

    across: Table
    along: tuple[_Block, ...]

    def on(self, rows: slice, columns: slice) -> NDArray[np.float64]:
        noise = self.across.on(rows, columns)
        for block in self.along:
            top, bottom = max(block.rows.start, rows.start), min(block.rows.stop, rows.stop)
            left, right = max(block.columns.start, columns.start), min(block.columns.stop, columns.stop)
            if top < bottom and left < right:
                gain = np.interp(np.arange(top, bottom), block.lines, block.values)
                place = (
                    slice(top - rows.start, bottom - rows.start),
                    slice(left - columns.start, right - columns.start),
                )
                noise[place] *= gain[:, None]
        return noise


def calibrate(
    dn: NDArray[np.generic],
    product: SafeProduct,
    polarisation: str,
    measure: Measure = "sigma0",
    *,
    noise: bool = True,
    first: tuple[int, int] = (0, 0),
) -> NDArray[np.float32]:
    """Turn digital numbers into linear power on the ellipsoid: (DN² - noise) / A².

    A and noise are interpolated bilinearly in the product's tables, as ESA's product specification says.

    Parameters
    ----------
    dn : array (y, x)
        A window of the measurement file.
    product : SafeProduct
        With calibration and noise annotation.
    polarisation : str
        VV, VH, HH or HV.
    measure : {"sigma0", "gamma0", "beta0"}
        What to measure.
    noise : bool
        Take the thermal noise off.
    first : (int, int)
        Line and pixel of the window's first pixel.

    Returns
    -------
    array (y, x) of float32
        Linear power; NaN where DN is 0 (the border). Where the noise is stronger than the signal it is below
        0, so that means over some pixels stay unbiased.

    Raises
    ------
    InputError
        An unknown measure.
    SourceError
        The product has no such polarisation, or lacks the tables.
    """
    if measure not in MEASURES:
        raise InputError(f"measure {measure!r} is unknown; take one of {', '.join(MEASURES)}")
    stem = product.image(polarisation).stem
    rows, columns = (slice(start, start + size) for start, size in zip(first, dn.shape, strict=True))
    power = np.square(dn.astype(np.float64))
    if noise:
        power -= _noise(product.archive, stem).on(rows, columns)
    power /= np.square(_gain(product.archive, stem, MEASURES[measure]).on(rows, columns))
    return np.where(dn == 0, np.nan, power).astype(np.float32)


@lru_cache(maxsize=32)
def _gain(archive: Archive, stem: str, name: str) -> Table:
    root = archive.xml(f"annotation/calibration/calibration-{stem}.xml")
    return _table(archive, root.findall(".//{*}calibrationVector"), name)


@lru_cache(maxsize=16)
def _noise(archive: Archive, stem: str) -> _Noise:
    root = archive.xml(f"annotation/calibration/noise-{stem}.xml")
    vectors = root.findall(".//{*}noiseRangeVector")
    if not vectors:
        return _Noise(_table(archive, root.findall(".//{*}noiseVector"), "noiseLut"), ())
    blocks = tuple(_block(archive, vector) for vector in root.findall(".//{*}noiseAzimuthVector"))
    return _Noise(_table(archive, vectors, "noiseRangeLut"), blocks)


def _table(archive: Archive, vectors: list[ElementTree.Element], name: str) -> Table:
    if not vectors:
        raise SourceError(f"{archive.name}: has no {name}; fetch the product again")
    vectors = sorted(vectors, key=lambda vector: number(vector, "line"))
    lines = np.array([number(vector, "line") for vector in vectors])
    pixels = tuple(_numbers(vector, "pixel") for vector in vectors)
    values = tuple(_numbers(vector, name) for vector in vectors)
    if any(len(one) != len(other) for one, other in zip(pixels, values, strict=True)):
        raise SourceError(f"{archive.name}: {name} has other pixels than values; fetch the product again")
    return Table(lines, pixels, values)


def _block(archive: Archive, vector: ElementTree.Element) -> _Block:
    first, last = (
        [int(number(vector, f"{end}{name}", default)) for name in ("AzimuthLine", "RangeSample")]
        for end, default in (("first", 0), ("last", 2**31))
    )
    rows, columns = (slice(low, high + 1) for low, high in zip(first, last, strict=True))
    lines, values = (_numbers(vector, name) for name in ("line", "noiseAzimuthLut"))
    if len(lines) != len(values):
        raise SourceError(f"{archive.name}: noiseAzimuthLut has other lines than values; fetch it again")
    return _Block(rows, columns, lines, values)


def _numbers(vector: ElementTree.Element, name: str) -> NDArray[np.float64]:
    text = text_of(vector, name)
    try:
        return np.array(text.split(), dtype=np.float64)
    except ValueError as error:
        raise SourceError(f"{name} holds {error}; fetch the product again") from error
