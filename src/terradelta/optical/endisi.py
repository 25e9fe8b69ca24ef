"""ENDISI, the enhanced normalised difference index of impervious surfaces, and its weight β."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.types import BoolArray

__all__ = ["LANDSAT5", "SENTINEL2", "Bands", "BetaSums", "beta_sums", "defined", "endisi", "unshifted"]

Float64Array: TypeAlias = NDArray[np.float64]

_MOST_RATIO = float(np.finfo(np.float32).max)


class Bands(NamedTuple):
    """Where the four bands that the index reads lie in an image.

    Attributes
    ----------
    blue, green, swir1, swir2 : int
        Index along the first axis; about 0.49, 0.56, 1.6 and 2.2 µm.
    """

    blue: int
    green: int
    swir1: int
    swir2: int


SENTINEL2 = Bands(blue=1, green=2, swir1=11, swir2=12)
"""In the 13 bands of Sentinel-2 (B01 to B12 with B8A)."""

LANDSAT5 = Bands(blue=0, green=1, swir1=4, swir2=6)
"""In the 7 bands of Landsat 5 TM."""


@dataclass(frozen=True)
class BetaSums:
    """Sums of a part of an area that give β of the whole: add those of all parts, then take `beta`.

    Attributes
    ----------
    blue, ratio, water : float
        Sums of blue, of SWIR1 / SWIR2 and of MNDWI².
    count : int
        Pixels summed; as published: tiles, each with its means.

    Examples
    --------
    >>> (BetaSums(0.25, 0.75, 0.25, 1) + BetaSums(0.5, 1.5, 0.5, 1)).beta
    0.5
    """

    blue: float = 0.0
    ratio: float = 0.0
    water: float = 0.0
    count: int = 0

    def __add__(self, other: BetaSums) -> BetaSums:
        """Give the sums of both parts."""
        return BetaSums(
            self.blue + other.blue,
            self.ratio + other.ratio,
            self.water + other.water,
            self.count + other.count,
        )

    @property
    def beta(self) -> float:
        """β = 2 Σ blue / (Σ ratio + Σ MNDWI²), NaN where nothing was summed."""
        below = self.ratio + self.water
        return float(np.divide(2 * self.blue, below)) if below else float("nan")


def defined(image: ArrayLike, bands: Bands = SENTINEL2) -> BoolArray:
    """Tell where the index has a value: all four bands are finite and above 0.

    Reflectance of exactly 0 is what an unobserved pixel holds, and what makes a ratio undefined.

    Parameters
    ----------
    image : array_like
        (band, y, x) reflectance 0..1; NaN is no data.
    bands : Bands
        Where the four bands are.

    Returns
    -------
    ndarray of bool
        (y, x).

    Raises
    ------
    InputError
        If the image is not (band, y, x) or lacks one of the bands.

    Examples
    --------
    >>> image = np.full((7, 1, 3), 0.2)
    >>> image[6, 0, 1], image[3, 0, 2] = 0, np.nan
    >>> defined(image, LANDSAT5).tolist()
    [[True, False, True]]
    """
    four = np.stack(_four(image, bands))
    return np.asarray((np.isfinite(four) & (four > 0)).all(axis=0))


def beta_sums(image: ArrayLike, bands: Bands = SENTINEL2, *, as_published: bool = False) -> BetaSums:
    """Sum what β of an area is made of, over one part of its image.

    Sums go over the pixels where the index is `defined`, so that β does not depend on how the area is cut.

    Parameters
    ----------
    image : array_like
        (band, y, x) mean reflectance of one window, of one part (tile, block) of the area.
    bands : Bands
        Where the four bands are.
    as_published : bool
        The variant behind published training labels: means of the tile in place of sums, NaN as 0, an
        infinite ratio as the largest number of single precision. One pixel with SWIR2 = 0 makes β 0 then.

    Returns
    -------
    BetaSums
        To be added to those of the other parts.

    Raises
    ------
    InputError
        If the image is not (band, y, x) or lacks one of the bands.

    References
    ----------
    Zitzlsberger, G. et al. (2021). Neural network-based urban change monitoring with deep-temporal
    multispectral and SAR remote sensing data. Remote Sensing, 13(15), 3000.

    Examples
    --------
    >>> image = np.full((7, 1, 2), 0.2)
    >>> image[6, 0, 1] = 0
    >>> beta_sums(image, LANDSAT5).beta
    0.4
    """
    if as_published:
        return _published_sums(image, bands)
    blue, green, swir1, swir2 = (band[defined(image, bands)] for band in _four(image, bands))
    water = (green - swir1) / (green + swir1)
    return BetaSums(float(blue.sum()), float((swir1 / swir2).sum()), float((water**2).sum()), int(blue.size))


def unshifted(image: ArrayLike, beta: float, bands: Bands = SENTINEL2) -> Float64Array:
    """Give the index before the shift α is added, to choose α from its histogram.

    On land `endisi` is above 0 exactly where this is above -α.

    Parameters
    ----------
    image : array_like
        (band, y, x) mean reflectance of one window, 0..1.
    beta : float
        β of the area.
    bands : Bands
        Where the four bands are.

    Returns
    -------
    ndarray of float64
        (y, x) -2..1, D(blue, β dry) - max(D(SWIR1, blue), 0) in the terms of `endisi`; NaN where undefined
        and on water (MNDWI > 0).

    Raises
    ------
    InputError
        If the image is not (band, y, x) or lacks one of the bands.

    Examples
    --------
    >>> image = np.full((7, 1, 2), 0.2)
    >>> image[1, 0, 1] = 0.5
    >>> unshifted(image, 0.2, LANDSAT5).tolist()
    [[0.0, nan]]
    """
    with np.errstate(all="ignore"):
        blue, water, dry, swir1 = _parts(image, bands)
        index = _difference(blue, beta * dry) - np.maximum(_difference(swir1, blue), 0)
    return np.where(defined(image, bands) & (water <= 0), index, np.nan)


def endisi(
    image: ArrayLike,
    beta: float,
    shift: float,
    bands: Bands = SENTINEL2,
    *,
    as_published: bool = False,
) -> Float64Array:
    """Give how impervious the ground is: roofs and roads high, plants, bare soil and water low.

    With D(a, b) = (a - b) / (a + b), MNDWI = D(green, SWIR1) and dry = SWIR1/SWIR2 + MNDWI²,

        max(D(blue, β dry) + α, 0) - 2 max(MNDWI, 0) - max(D(SWIR1, blue), 0),    clipped to 0..1.

    Parameters
    ----------
    image : array_like
        (band, y, x) mean reflectance of one window, 0..1.
    beta : float
        β of the whole area at that time, see `beta_sums`; NaN gives 0 everywhere.
    shift : float
        α, see `terradelta.optical.suggest_shift`.
    bands : Bands
        Where the four bands are.
    as_published : bool
        The variant behind published training labels: where MNDWI is undefined (green and SWIR1 are 0 or
        missing) the first term is blue; any other undefined term counts as 0.

    Returns
    -------
    ndarray of float64
        (y, x) 0..1; 0 where the index is not `defined`, which includes NaN.

    Raises
    ------
    InputError
        If the image is not (band, y, x) or lacks one of the bands.

    References
    ----------
    Chen, J. et al. (2019). Enhanced normalized difference index for impervious surface area estimation at
    the plateau basin scale. Journal of Applied Remote Sensing, 13(1), 016502. Water and soil are taken off
    as by Zitzlsberger et al. (2021), Remote Sensing 13(15) 3000.

    Examples
    --------
    >>> image = np.full((7, 1, 3), 0.2)
    >>> image[4, 0, 1], image[6, 0, 2] = 0.4, 0
    >>> endisi(image, 0.2, 0.25, LANDSAT5).round(2).tolist()
    [[0.25, 0.0, 0.0]]
    """
    if as_published:
        return _published(image, beta, shift, bands)
    with np.errstate(all="ignore"):
        blue, water, dry, swir1 = _parts(image, bands)
        index = np.maximum(_difference(blue, beta * dry) + shift, 0)
        index -= 2 * np.maximum(water, 0) + np.maximum(_difference(swir1, blue), 0)
    return np.where(defined(image, bands) & np.isfinite(index), np.clip(index, 0, 1), 0)


def _four(image: ArrayLike, bands: Bands) -> list[Float64Array]:
    """Blue, green, SWIR1 and SWIR2 in double precision."""
    values = np.asarray(image)
    if values.ndim != 3:
        raise InputError(f"image has shape {values.shape}; expected three dimensions (band, y, x)")
    if not 0 <= min(bands) <= max(bands) < len(values):
        raise InputError(
            f"the image has {len(values)} bands, but the index reads bands {', '.join(map(str, bands))} "
            "(counted from 0); give where blue, green, SWIR1 and SWIR2 are"
        )
    return [values[band].astype(np.float64) for band in bands]


def _difference(first: Float64Array, second: Float64Array) -> Float64Array:
    return np.asarray((first - second) / (first + second))


def _parts(image: ArrayLike, bands: Bands) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Blue, MNDWI, dry and SWIR1."""
    blue, green, swir1, swir2 = _four(image, bands)
    water = _difference(green, swir1)
    return blue, water, swir1 / swir2 + water**2, swir1


# as published: undefined terms count as 0


def _published_parts(
    image: ArrayLike, bands: Bands
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Blue, MNDWI (NaN where undefined), ratio and SWIR1."""
    four = [np.where(np.isnan(band), 0, band) for band in _four(image, bands)]
    blue, green, swir1, swir2 = four
    ratio = np.nan_to_num(swir1 / swir2, nan=0, posinf=_MOST_RATIO, neginf=-_MOST_RATIO)
    return blue, _finite(_difference(green, swir1)), ratio, swir1


def _finite(values: Float64Array) -> Float64Array:
    return np.where(np.isfinite(values), values, np.nan)


def _published_sums(image: ArrayLike, bands: Bands) -> BetaSums:
    with np.errstate(all="ignore"):
        blue, water, ratio, _ = _published_parts(image, bands)
        known = np.isfinite(water)
        square = float((water[known] ** 2).mean()) if known.any() else 0.0
        return BetaSums(float(blue.mean()), float(ratio.astype(np.float32).mean()), square, 1)


def _published(image: ArrayLike, beta: float, shift: float, bands: Bands) -> Float64Array:
    with np.errstate(all="ignore"):
        blue, water, ratio, swir1 = _published_parts(image, bands)
        index = _finite(_difference(blue, beta * (ratio + water**2)))
        index = np.where(np.isnan(index), 0, np.maximum(index + shift, 0))
        index = np.where(np.isnan(water), np.maximum(blue, 0), index)
        index -= 2 * np.maximum(np.nan_to_num(water), 0)
        index -= np.maximum(np.nan_to_num(_finite(_difference(swir1, blue))), 0)
    return np.asarray(np.clip(np.nan_to_num(index), 0, 1))
