"""How files name temperature, precipitation and snow."""

from __future__ import annotations

import re
from collections.abc import Sequence

from terradelta.errors import SourceError
from terradelta.sources.sidecar import FileSettings
from terradelta.sources.units import QUANTITIES

__all__ = ["DAY_NAMES", "USUAL_UNITS", "names_in", "nothing_in"]

_NAMES = {
    "temperature": (
        "temperature",
        "t2m",
        "2t",
        "2m_temperature",
        "tas",
        "temperature_mean",
        "temperature_air_2m_mean_24h",
        "tday",
        "tg",
        "tmp",
        "tavg",
        "t_mean",
        "temp",
    ),
    "precipitation": (
        "precipitation",
        "tp",
        "total_precipitation",
        "mtpr",
        "avg_tprate",
        "mean_total_precipitation_rate",
        "pr",
        "precipitation_flux",
        "rrday",
        "rr",
        "apcp",
        "prcp",
        "rain",
        "precip",
    ),
    "snow_depth": (
        "snow_depth",
        "snd",
        "sde",
        "snod",
        "snow_thickness_mean_24h",
        "snow_thickness",
        "snwd",
        "snow",
    ),
    "snow_water": ("sd", "snow_depth_water_equivalent", "snow_water_equivalent", "swe", "snw", "weasd"),
    "snow_density": ("rsn", "snow_density", "sden"),
}
DAY_NAMES = ("day", "date", "time", "timestamp", "datetime", "valid_time")
USUAL_UNITS = {"tday": "degC", "rrday": "mm", "snow": "cm"}
"""Units of the grids of the Finnish Meteorological Institute, whose files may leave them out."""


def names_in(available: Sequence[str], settings: FileSettings, stem: str = "") -> dict[str, str]:
    """Quantity to the name that a file gives it: the settings', else a known one.

    Parameters
    ----------
    available : sequence of str
        Names of variables, columns or bands.
    settings : FileSettings
        Its ``columns`` win.
    stem : str
        Name of the file, which speaks for its only variable (``tday_2020``).

    Raises
    ------
    SourceError
        The settings name what is not there.

    Examples
    --------
    >>> names_in(["t2m", "tp", "u10"], FileSettings()), names_in(["Band1"], FileSettings(), "snow_2020")
    ({'temperature': 't2m', 'precipitation': 'tp'}, {'snow_depth': 'Band1'})
    """
    found = {}
    lowered = {_plain(name): name for name in available}
    for quantity, known in _NAMES.items():
        told = settings.columns.get(quantity)
        if told is not None and told not in available:
            raise SourceError(f"weather has no column {told!r} for {quantity}; it has {', '.join(available)}")
        name = told or next((lowered[name] for name in known if name in lowered), None)
        if name is not None:
            found[quantity] = name
    if found or len(available) != 1:
        return found
    first = _plain(re.split(r"[_.-]", stem)[0])
    return {quantity: available[0] for quantity, known in _NAMES.items() if first in known}


def _plain(name: str) -> str:
    """Name in small letters, without a unit in brackets or the hours of an amount (APCP01)."""
    lowered = re.split(r"\s*[\[(]", name)[0].strip().lower()
    return re.sub(r"^apcp\d+$", "apcp", lowered)


def nothing_in(where: str, available: Sequence[str]) -> SourceError:
    """Give the error for a file that holds no weather."""
    return SourceError(
        f"{where}: no {', '.join(QUANTITIES[:2])} or snow depth among {', '.join(available) or 'nothing'}; "
        "say 'columns: {temperature: ...}' in terradelta.yaml"
    )
