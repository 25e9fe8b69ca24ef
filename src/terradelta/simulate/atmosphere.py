"""What stands between the ground and an optical sensor: the sun's height, haze, and the shadows of clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from terradelta.simulate.weather import day_of_year
from terradelta.types import FloatArray, Size

__all__ = ["WAVELENGTHS", "Air", "haze", "shadow_shift", "shifted", "sun"]

WAVELENGTHS = (
    0.443, 0.492, 0.560, 0.665, 0.704, 0.740, 0.783, 0.833, 0.865, 0.945, 1.374, 1.614, 2.202,
)  # fmt: skip
"""Middle of the bands of Sentinel-2 in μm, in the order of the bands."""

_REFERENCE_ZENITH = 45.0
_LOWEST_SUN = 78.0
_AEROSOL, _ANGSTROM, _AEROSOL_SPREAD = 0.12, 1.3, 0.5
_CLEAN, _HAZY = 1.2, 0.35
_CIRRUS = 10
_VIEW = 5.0


@dataclass(frozen=True)
class Air:
    """The atmosphere of a place.

    Attributes
    ----------
    latitude : float
        Degrees.
    haze : float
        Strength of its changes; 0 = always the same.
    shadows : bool
        Whether clouds throw shadows.
    clouds : float
        Mean share of the sky that they cover, 0..1.
    """

    latitude: float
    haze: float = 0.0
    shadows: bool = False
    clouds: float = 0.5


def sun(moment: np.datetime64, latitude: float) -> tuple[float, float]:
    """Give where the sun stands at a pass of Sentinel-2, at 10:30 local solar time.

    Declination after Cooper 1969 (Solar Energy 12(3) 333-346).

    Parameters
    ----------
    moment : numpy.datetime64
        The day.
    latitude : float
        Degrees.

    Returns
    -------
    tuple of float
        Zenith angle (at most 78) and azimuth (clockwise from north), degrees.

    Examples
    --------
    >>> [round(angle) for angle in sun(np.datetime64("2020-06-21"), 50.0)]
    [32, 138]
    >>> [round(angle) for angle in sun(np.datetime64("2020-12-21"), 50.0)]
    [76, 159]
    """
    declination = np.deg2rad(23.45) * np.sin(2 * np.pi * (284 + 1 + float(day_of_year(moment))) / 365)
    north, hour = np.deg2rad(latitude), np.deg2rad(15.0 * (10.5 - 12.0))
    up = np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    ahead = np.cos(north) * np.sin(declination) - np.sin(north) * np.cos(declination) * np.cos(hour)
    zenith = float(np.rad2deg(np.arccos(np.clip(up, -1, 1))))
    return min(zenith, _LOWEST_SUN), float(np.rad2deg(np.arctan2(east, ahead)) % 360)


def haze(rng: np.random.Generator, zenith: float, strength: float) -> tuple[FloatArray, FloatArray]:
    """Give what the air of a day adds to reflectance, and what share of the ground it lets through.

    Single scattering: molecules (optical depth after Bodhaine et al. 1999, Journal of Atmospheric and Oceanic
    Technology 16(11) 1854-1861, leading terms) and aerosol (median 0.12 at 0.55 μm, Ångström exponent 1.3).
    Relative to clean air under a sun at 45°, which the spectra of the classes contain already. Seen near
    nadir. The cirrus band (B10) sees neither.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draw of the day's aerosol.
    zenith : float
        Of the sun, degrees.
    strength : float
        1 = as at mid-latitudes, 0 = none.

    Returns
    -------
    tuple of ndarray, (band,), float32
        To be added, and to be multiplied with the ground before.

    Examples
    --------
    >>> low, high = (haze(np.random.default_rng(0), zenith, 1.0)[0] for zenith in (75.0, 35.0))
    >>> bool(low[0] > high[0] + 0.02), bool(abs(low[12] - high[12]) < 0.02)
    (True, True)
    """
    wavelength = np.asarray(WAVELENGTHS)
    molecules = 0.00864 * wavelength ** -(3.916 + 0.074 * wavelength)
    day = _AEROSOL * float(np.exp(_AEROSOL_SPREAD * rng.standard_normal()))
    aerosol = day * (wavelength / 0.55) ** -_ANGSTROM
    scattered = _path(molecules, zenith, _CLEAN) + _path(aerosol, zenith, _HAZY)
    clean = _path(molecules, _REFERENCE_ZENITH, _CLEAN)
    clean += _path(_AEROSOL * (wavelength / 0.55) ** -_ANGSTROM, _REFERENCE_ZENITH, _HAZY)
    lost = 0.3 * (aerosol - _AEROSOL * (wavelength / 0.55) ** -_ANGSTROM) / np.cos(np.deg2rad(zenith))
    added, through = strength * (scattered - clean), np.exp(-strength * np.clip(lost, -0.1, 0.4))
    added[_CIRRUS], through[_CIRRUS] = 0.0, 1.0
    return added.astype(np.float32), through.astype(np.float32)


def _path(depth: FloatArray, zenith: float, phase: float) -> FloatArray:
    """Reflectance of the air alone, single scattering, damped on the slant way."""
    down, up = np.cos(np.deg2rad(zenith)), np.cos(np.deg2rad(_VIEW))
    slant = 1 / down + 1 / up
    return np.asarray(phase * (1 - np.exp(-depth * slant)) / (4 * (down + up)))


def shadow_shift(
    rng: np.random.Generator, zenith: float, azimuth: float, resolution: float
) -> tuple[int, int]:
    """Give how far a cloud's shadow lies from it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draw of the clouds' height, 300 to 1200 m.
    zenith, azimuth : float
        Of the sun, degrees.
    resolution : float
        Pixel size in m.

    Returns
    -------
    tuple of int
        Rows (down = south) and columns (right = east), away from the sun.

    Examples
    --------
    >>> down, right = shadow_shift(np.random.default_rng(0), 60.0, 160.0, 10.0)
    >>> down < 0 and right < 0
    True
    """
    far = float(rng.uniform(300.0, 1200.0)) * np.tan(np.deg2rad(zenith)) / resolution
    towards = np.deg2rad(azimuth)
    return round(far * np.cos(towards)), round(-far * np.sin(towards))


def shifted(field: FloatArray, shift: tuple[int, int], size: Size) -> FloatArray:
    """Cut the middle of a larger field, as moved by a shift.

    Parameters
    ----------
    field : ndarray, (y, x)
        At least as large on each side as twice the shift more than `size`.
    shift : tuple of int
        Rows and columns by which its content moves.
    size : Size
        Rows and columns to cut.

    Returns
    -------
    ndarray, (y, x)

    Examples
    --------
    >>> field = np.zeros((5, 5))
    >>> field[2, 2] = 1.0
    >>> np.argwhere(shifted(field, (-1, 0), Size(3, 3))).tolist()
    [[0, 1]]
    """
    top, left = (field.shape[0] - size.y) // 2 - shift[0], (field.shape[1] - size.x) // 2 - shift[1]
    return field[top : top + size.y, left : left + size.x]
