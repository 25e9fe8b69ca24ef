"""Weather of one place as CSV: a column of times, one per quantity."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import SourceError
from terradelta.sources.sidecar import FileSettings
from terradelta.sources.weather.fields import Field, Index, converted
from terradelta.sources.weather.names import DAY_NAMES, names_in, nothing_in

__all__ = ["column_names", "fields_of_table"]


def column_names(path: Path) -> list[str]:
    """Headings of a CSV file; none if it is something else."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return [name.strip() for name in lines.readline().strip().split(",")]
    except (OSError, UnicodeDecodeError):
        return []


def fields_of_table(path: Path, settings: FileSettings) -> dict[str, Field]:
    """Read a CSV file.

    Raises
    ------
    SourceError
        No weather, no times, or something that is no number or time.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, comment="#", skipinitialspace=True, encoding="utf-8-sig").dropna(how="all")
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{path.name}: cannot be read as CSV ({error}); use commas and one heading line"
        ) from error
    columns = [str(name) for name in table.columns]
    day = settings.columns.get("day") or next((name for name in columns if name.lower() in DAY_NAMES), None)
    names = names_in(columns, settings)
    if not names:
        raise nothing_in(path.name, columns)
    if day not in columns:
        raise SourceError(
            f"{path.name}: no column of days ({', '.join(DAY_NAMES)}); say 'columns: {{day: ...}}'"
        )
    try:
        stamps = _stamps(table[day])
        values = {name: table[name].to_numpy(np.float64) for name in names.values()}
    except (ValueError, TypeError) as error:
        raise SourceError(
            f"{path.name}: a day or number cannot be understood ({error}); correct that line"
        ) from error
    times, first, counts = np.unique(stamps, return_index=True, return_counts=True)
    if times.size < stamps.size:
        raise SourceError(f"{path.name}: has {times[counts > 1][0]} twice; keep one line per time")
    return {
        quantity: _field(path, settings, quantity, name, times, values[name][first])
        for quantity, name in names.items()
    }


def _stamps(column: Any) -> NDArray[np.datetime64]:
    """Moments (UTC) of texts, or of whole numbers such as 20200131."""
    import pandas as pd

    if column.dtype.kind in "if":
        strange = column[~column.between(10_000_101, 99_991_231)]
        if len(strange):
            raise ValueError(f"{strange.iloc[0]:.15g} is no day")
        column = column.astype("int64").astype(str)
    stamps = pd.to_datetime(column, utc=True)
    if stamps.isna().any():
        raise ValueError("a day is missing")
    return np.asarray(stamps.dt.tz_localize(None).to_numpy("datetime64[ns]"))


def _field(
    path: Path, settings: FileSettings, quantity: str, name: str, times: NDArray[np.datetime64],
    values: NDArray[np.float64],
) -> Field:  # fmt: skip
    where = f"{path.name}: {name}"
    own = next(iter(re.findall(r"[\[(]\s*([^\])]+?)\s*[\])]", name)), "")
    load, added = converted(quantity, settings.units.get(quantity, own), where, partial(_load, values))
    return Field(where=where, times=times, load=load, added=added)


def _load(values: NDArray[np.float64], times: Index, rows: Index, columns: Index) -> NDArray[np.float64]:
    return values[times][:, None, None]
