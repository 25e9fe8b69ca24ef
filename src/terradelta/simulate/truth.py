"""What really changed in a simulated place: rasters and a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import InputError
from terradelta.simulate.changes import KINDS, Change
from terradelta.simulate.covers import BANDS
from terradelta.simulate.shapes import outline_wkt
from terradelta.types import BoolArray

__all__ = ["change_table", "changed_at", "truth_layers"]

_DAY = np.timedelta64(1, "D")
_EPOCH = np.datetime64("1970-01-01", "D")


def _days(date: np.datetime64) -> int:
    """Count the days since 1970-01-01."""
    return int((date.astype("datetime64[D]") - _EPOCH) / _DAY)


def truth_layers(changes: tuple[Change, ...], geobox: GeoBox) -> xr.Dataset:
    """Draw the changes into rasters.

    Parameters
    ----------
    changes : tuple of Change
        What changes.
    geobox : GeoBox
        Grid of the place.

    Returns
    -------
    xarray.Dataset
        All (y, x): ``changed`` uint8 0/1, ``date`` int32 days since 1970-01-01 (-1 = none), ``until`` for its
        end (-1 = persistent), ``strength`` float32 dB of the band that changes most, ``kind``
        uint8 (0 = none, codes in its attributes), ``label`` uint16 number of the change in the table, 1 up.
    """
    shape = tuple(geobox.shape)
    layers: dict[str, NDArray[Any]] = {
        "changed": np.zeros(shape, np.uint8),
        "date": np.full(shape, -1, np.int32),
        "until": np.full(shape, -1, np.int32),
        "strength": np.zeros(shape, np.float32),
        "kind": np.zeros(shape, np.uint8),
        "label": np.zeros(shape, np.uint16),
    }
    for number, change in enumerate(changes, start=1):
        layers["changed"][change.mask] = 1
        layers["date"][change.mask] = _days(change.date)
        layers["until"][change.mask] = -1 if change.until is None else _days(change.until)
        layers["strength"][change.mask] = change.strength
        layers["kind"][change.mask] = KINDS[change.kind].code
        layers["label"][change.mask] = number
    dataset = xr.Dataset({name: (geobox.dimensions, values) for name, values in layers.items()})
    for name, attributes in _ATTRIBUTES.items():
        dataset[name].attrs.update(attributes)
    return dataset


# no "since" in the units: a reader of CF would turn -1 into 31 December 1969
_ATTRIBUTES: dict[str, dict[str, object]] = {
    "changed": {"long_name": "1 where something changes in the period"},
    "date": {"long_name": "first day that shows the change, from 1970-01-01; -1: none", "units": "days"},
    "until": {"long_name": "first day that no longer shows it; -1: persistent", "units": "days"},
    "strength": {"long_name": "offset of the band that changes most", "units": "dB"},
    "kind": {
        "long_name": "kind of change",
        "flag_values": [0, *(each.code for each in KINDS.values())],
        "flag_meanings": " ".join(["none", *KINDS]),
    },
    "label": {"long_name": "number of the change in the table, 1 up"},
}


def change_table(changes: tuple[Change, ...], geobox: GeoBox) -> xr.Dataset:
    """List the changes.

    Parameters
    ----------
    changes : tuple of Change
        What changes.
    geobox : GeoBox
        Grid of the place.

    Returns
    -------
    xarray.Dataset
        Along ``change`` (1 up, as in the raster ``label``): ``kind``, ``date``, ``until`` (NaT = persistent),
        ``finished`` (first day of the final state; ``date`` where that came at once), ``strength``
        (change, band) in dB, ``area`` in m², ``outline`` WKT in map coordinates.
    """
    pixel = abs(geobox.resolution.x * geobox.resolution.y)
    never = np.datetime64("NaT")
    until = [never if each.until is None else each.until for each in changes]
    finished = [each.date if each.finished is None else each.finished for each in changes]
    return xr.Dataset(
        {
            "kind": ("change", np.array([each.kind for each in changes], object)),
            "date": ("change", np.array([each.date for each in changes], "datetime64[ns]")),
            "until": ("change", np.array(until, "datetime64[ns]")),
            "finished": ("change", np.array(finished, "datetime64[ns]")),
            "strength": (
                ("change", "band"),
                np.array([each.decibel for each in changes], np.float32).reshape(-1, 2),
                {"units": "dB"},
            ),
            "area": (
                "change",
                np.array([each.mask.sum() * pixel for each in changes], np.float64),
                {"units": "m2"},
            ),
            "outline": (
                "change",
                np.array([outline_wkt(each.mask, geobox.transform) for each in changes], object),
            ),
        },
        coords={"change": np.arange(1, len(changes) + 1), "band": np.array(BANDS, object)},
    )


def changed_at(truth: xr.Dataset, time: np.datetime64 | str) -> BoolArray:
    """Say which pixels differ from the start of the series in an image of a given time.

    Parameters
    ----------
    truth : xarray.Dataset
        The group ``truth`` of a place.
    time : numpy.datetime64 or str
        UTC.

    Returns
    -------
    ndarray of bool, (y, x)

    Raises
    ------
    InputError
        If the data set is no truth.
    """
    if not {"date", "until"} <= set(truth.data_vars):
        raise InputError("no 'date' and 'until' here; give the group 'truth' of a simulated place")
    day = _days(np.datetime64(time))
    date, until = truth["date"].values, truth["until"].values
    return np.asarray((date >= 0) & (date <= day) & ((until < 0) | (day < until)))
