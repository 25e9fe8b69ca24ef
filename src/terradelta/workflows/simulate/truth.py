"""The truth of changes that were put into a cube, in the layers of simulated places, and their table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from terradelta.cube.files import storage_errors
from terradelta.cube.layers import replacing
from terradelta.cube.locking import exclusive
from terradelta.simulate.changes import KINDS
from terradelta.simulate.shapes import outline_wkt
from terradelta.simulate.truth import truth_layers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.simulate.injected import InjectedChange
    from terradelta.types import PathType

__all__ = ["INJECTED_KINDS", "InjectedTruth", "read_table", "write_table"]

INJECTED_KINDS = {"offset": 11, "statistical": 12, "gaussian": 13, "texture": 14}
"""Codes of these changes in the layer ``kind``, beside those of `terradelta.simulate.KINDS`."""

_DAY = np.timedelta64(1, "D")
_NEVER = np.datetime64("NaT")


@dataclass(frozen=True, eq=False)
class InjectedTruth:
    """Changes of one cube.

    Attributes
    ----------
    mask : array of int32, (y, x)
        0, or the number of the change.
    changes : tuple of InjectedChange
        By number.
    date : numpy.datetime64
        First day that shows them.
    until : numpy.datetime64 or None
        First day that no longer shows them; None = they stay.
    gradual_days : float
        Days until they are whole.
    """

    mask: NDArray[np.int32]
    changes: tuple[InjectedChange, ...]
    date: np.datetime64
    until: np.datetime64 | None = None
    gradual_days: float = 0.0

    def layers(self, geobox: GeoBox, before: xr.Dataset | None = None) -> xr.Dataset:
        """Draw the layers ``changed``, ``date``, ``until``, ``strength``, ``kind`` and ``label``.

        Parameters
        ----------
        geobox : GeoBox
            Grid of the cube.
        before : xarray.Dataset, optional
            Such layers of changes that the images had already; their numbers come first.

        Returns
        -------
        xarray.Dataset
            (y, x) as of `terradelta.simulate.truth.truth_layers`.
        """
        layers = truth_layers((), geobox)
        if before is not None:
            for name in layers.data_vars:
                if name in before:
                    layers[name].values[...] = before[name].values
        first = int(layers["label"].values.max(initial=0))
        until = -1 if self.until is None else _days(self.until)
        for change in self.changes:
            inside = self.mask == change.number
            values: dict[str, float] = {
                "changed": 1,
                "date": _days(self.date),
                "until": until,
                "label": first + change.number,
            }
            values |= {"strength": max(change.change, key=abs), "kind": INJECTED_KINDS[change.kind]}
            for name, value in values.items():
                layers[name].values[inside] = value
        codes = {name: kind.code for name, kind in KINDS.items()} | INJECTED_KINDS
        layers["kind"].attrs["flag_values"] = [0, *codes.values()]
        layers["kind"].attrs["flag_meanings"] = " ".join(["none", *codes])
        return layers

    def table(self, geobox: GeoBox, bands: tuple[str, ...], before: xr.Dataset | None = None) -> xr.Dataset:
        """List the changes.

        Parameters
        ----------
        geobox : GeoBox
            Grid of the cube.
        bands : tuple of str
            Names of its bands.
        before : xarray.Dataset, optional
            Table of changes that the images had already.

        Returns
        -------
        xarray.Dataset
            Along ``change``, as of `terradelta.simulate.truth.change_table`.
        """
        pixel = abs(geobox.resolution.x * geobox.resolution.y)
        count = len(self.changes)
        finished = self.date.astype("datetime64[s]") + np.timedelta64(round(self.gradual_days * 86_400), "s")
        until = _NEVER if self.until is None else self.until
        dates = {"date": self.date, "until": until, "finished": finished}
        masks = [self.mask == change.number for change in self.changes]
        strength = np.array([change.change for change in self.changes], np.float32).reshape(count, len(bands))
        table = xr.Dataset(
            {
                "kind": ("change", np.array([change.kind for change in self.changes], object)),
                **{n: ("change", np.full(count, day, "datetime64[ns]")) for n, day in dates.items()},
                "strength": (("change", "band"), strength, {"units": "dB"}),
                "area": ("change", np.array([mask.sum() * pixel for mask in masks], float), {"units": "m2"}),
                "outline": (
                    "change",
                    np.array([outline_wkt(mask, geobox.transform) for mask in masks], object),
                ),
            },
            coords={"change": np.arange(1, count + 1), "band": np.array(bands, object)},
        )
        if before is None or not before.sizes.get("change"):
            return table
        first = int(before["change"].values.max())
        return xr.concat([before, table.assign_coords(change=table["change"] + first)], dim="change")


def _days(date: np.datetime64) -> int:
    return int((date.astype("datetime64[D]") - np.datetime64("1970-01-01", "D")) / _DAY)


def write_table(cube: PathType, table: xr.Dataset) -> None:
    """Write the table of changes into the group ``truth/changes`` of a cube, in one step.

    Parameters
    ----------
    cube : path-like
        The cube; it has the group ``truth``.
    table : xarray.Dataset
        Along ``change``; what was there is replaced.

    Raises
    ------
    LockedError, StorageError
        Another process holds the cube, or the disk refuses.
    """
    path = Path(cube)
    with storage_errors(path), exclusive(path):
        target = path / "truth" / "changes"
        with replacing(path, target) as draft:
            _plain(table).to_zarr(str(draft), mode="w", consolidated=False, zarr_format=3)


def _plain(table: xr.Dataset) -> xr.Dataset:
    """Give text a type that also an empty table can keep."""
    table = table.drop_encoding()
    texts = [name for name, values in table.variables.items() if values.dtype == object]
    kinds: dict[Any, Any] = {name: table[name].astype(np.dtypes.StringDType()) for name in texts}
    return table.assign(kinds)


def read_table(cube: PathType | xr.DataTree) -> xr.Dataset | None:
    """Read the table of changes of a cube.

    Parameters
    ----------
    cube : path-like or DataTree
        The cube, on disk or in memory.

    Returns
    -------
    xarray.Dataset or None
        In memory; None if it has none.
    """
    if isinstance(cube, xr.DataTree):
        found = "truth" in cube.children and "changes" in cube["truth"].children
        return cube.children["truth"].children["changes"].to_dataset(inherit=False).load() if found else None
    folder = Path(cube) / "truth" / "changes"
    if not (folder / "zarr.json").exists():
        return None
    with xr.open_dataset(str(folder), engine="zarr", consolidated=False) as stored:
        table = stored.load().drop_encoding()
    texts = [name for name, values in table.variables.items() if values.dtype.kind in "TU"]
    kinds: dict[Any, Any] = {name: table[name].astype(object) for name in texts}
    return table.assign(kinds)
