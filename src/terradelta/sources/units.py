"""Units of weather, as files spell them, into °C, mm/day and cm."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import SourceError

__all__ = ["QUANTITIES", "UNITS", "Conversion", "check_plausible", "conversion", "is_water"]

QUANTITIES = ("temperature", "precipitation", "snow_depth")
UNITS = {"temperature": "degC", "precipitation": "mm/day", "snow_depth": "cm"}

Conversion = tuple[float, float, bool]
"""Factor, summand, and whether values of a day are added up (amounts) or averaged (rates, states)."""

_DAY = 86400.0
_TABLE: dict[str, dict[str, Conversion]] = {
    "temperature": {"k": (1, -273.15, False), "degc": (1, 0, False), "degf": (5 / 9, -160 / 9, False)},
    "precipitation": {
        "mm": (1, 0, True),
        "m": (1000, 0, True),
        "cm": (10, 0, True),
        "kgm-2": (1, 0, True),
        "mmd-1": (1, 0, False),
        "md-1": (1000, 0, False),
        "kgm-2d-1": (1, 0, False),
        "mmh-1": (24, 0, False),
        "kgm-2s-1": (_DAY, 0, False),
        "mms-1": (_DAY, 0, False),
        "ms-1": (1000 * _DAY, 0, False),
    },
    "snow_depth": {"m": (100, 0, False), "cm": (1, 0, False), "mm": (0.1, 0, False)},
    "snow_water": {
        "kgm-2": (1, 0, False),
        "mm": (1, 0, False),
        "cm": (10, 0, False),
        "m": (1000, 0, False),
    },
    "snow_density": {"kgm-3": (1, 0, False)},
}
_SAME = {
    "kelvin": "k",
    "°c": "degc",
    "c": "degc",
    "celsius": "degc",
    "degreecelsius": "degc",
    "degreescelsius": "degc",
    "degreec": "degc",
    "degreesc": "degc",
    "°f": "degf",
    "f": "degf",
    "metre": "m",
    "metres": "m",
    "meter": "m",
    "meters": "m",
    "millimetre": "mm",
    "millimeters": "mm",
    "millimetres": "mm",
    "centimeters": "cm",
    "1/kg3": "kgm-3",
}


def _spelling(unit: str) -> str:
    """One spelling for what means the same: "mm/day", "mm day-1" and "mm d**-1" are one unit."""
    text = unit.strip().lower().replace("**", "").replace("^", "").replace("_", " ")
    text = re.sub(r"/\s*\(\s*m2\s+s\s*\)", " m-2 s-1", text)
    text = re.sub(r"[()]", "", text)
    text = re.sub(r"\b(day|days|dy)\b", "d", re.sub(r"(day|days)(?=-1)", "d", text))
    text = re.sub(r"\b(hour|hours|hr)\b", "h", re.sub(r"(hour|hr)(?=-1)", "h", text))
    text = re.sub(r"/\s*m([23])\b", r" m-\1", text)
    text = re.sub(r"/\s*([dhs])\b", r" \1-1", text)
    text = re.sub(r"[\s.]+", "", text)
    return _SAME.get(text, text)


_WATER = re.compile(r"(\bof\b)?\s*\b(liquid )?water(\s+eq\w*\.?)?|\bw\.?\s?e\b\.?", re.IGNORECASE)


def is_water(unit: str) -> bool:
    """Whether a unit of snow speaks of the water in it, not of its depth.

    Examples
    --------
    >>> is_water("m of water equivalent"), is_water("kg m**-2"), is_water("m")
    (True, True, False)
    """
    return _WATER.search(unit) is not None or _spelling(unit) == "kgm-2"


def conversion(quantity: str, unit: str, where: str) -> Conversion:
    """How values in a unit become the cube's: factor, summand, and whether the values of a day are added up.

    Parameters
    ----------
    quantity : str
        "temperature" (to °C), "precipitation" (to mm/day), "snow_depth" (to cm), "snow_water" or
        "snow_density" (to kg/m² and kg/m³).
    unit : str
        As the file spells it.
    where : str
        File and variable, for the message.

    Raises
    ------
    SourceError
        An unknown unit, or none.

    Examples
    --------
    >>> conversion("precipitation", "kg m-2 s-1", "a.nc: pr")
    (86400.0, 0, False)
    >>> conversion("temperature", "", "a.csv: t")
    Traceback (most recent call last):
    terradelta.errors.SourceError: a.csv: t has no unit; say it in terradelta.yaml: ...
    """
    known = _TABLE[quantity]
    if not unit.strip():
        raise SourceError(
            f"{where} has no unit; say it in terradelta.yaml: 'units: {{{quantity}: ...}}' "
            f"with one of {', '.join(known)}"
        )
    plain = unit if quantity == "snow_depth" else _WATER.sub("", unit)
    found = known.get(_spelling(plain))
    if found is None:
        raise SourceError(
            f"{where} is in {unit!r}, which is no known unit of {quantity} ({', '.join(known)}); "
            f"say the right one in terradelta.yaml: 'units: {{{quantity}: ...}}'"
        )
    return found


PLAUSIBLE = {"temperature": (-95.0, 65.0), "precipitation": (-0.01, 2000.0), "snow_depth": (-0.01, 2000.0)}


def check_plausible(quantity: str, values: NDArray[np.floating[Any]], where: str) -> None:
    """Refuse converted values that no weather on Earth has: the unit must be wrong.

    Raises
    ------
    SourceError
        Values out of the range of the quantity.
    """
    low, high = PLAUSIBLE[quantity]
    valid = values[np.isfinite(values)]
    if valid.size and (valid.min() < low or valid.max() > high):
        raise SourceError(
            f"{where}: {quantity} from {valid.min():.4g} to {valid.max():.4g} {UNITS[quantity]} cannot be; "
            f"correct its unit in terradelta.yaml: 'units: {{{quantity}: ...}}'"
        )
