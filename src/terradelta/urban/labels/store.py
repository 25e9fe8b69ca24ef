"""Synthetic labels on disk: a store of window maps that also keeps the β of every window."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube.files import remove_tree
from terradelta.types import FloatArray, PathType
from terradelta.urban.era import Era
from terradelta.urban.labels.rules import LabelRule
from terradelta.urban.stack import Stack
from terradelta.urban.store import MapStore, WindowTable, open_windows
from terradelta.windows.blocks import Slices

__all__ = ["LABELS", "Betas", "LabelStore", "labelled_stack", "open_labels"]

Betas: TypeAlias = NDArray[np.float64]
"""(window, 2) β of the window before and of the one behind."""

LABELS = "labels.zarr"
"""Name of the store in an output folder."""

_SUMS = "sums"
_DAY = np.timedelta64(1, "D")


class LabelStore(MapStore):
    """Labels in a Zarr group that is complete or says that it is not; several threads may write to it.

    Parameters
    ----------
    path, settings, notes, overwrite
        As of `MapStore`.
    """

    mark = "terradelta_labels"
    what, noun, verb = "synthetic labels", "labels", "terradelta label"
    title = "How much was built or torn down, as radar and optical images agree, per window of observations"

    def __init__(
        self,
        path: PathType,
        settings: Mapping[str, Any],
        notes: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> None:
        super().__init__(path, settings, notes, overwrite=overwrite)
        self._lock = Lock()

    @classmethod
    def layers(cls, networks: int) -> dict[str, str]:
        """Give the names of the layers, and what each holds."""
        return {"label": "synthetic label, 0 nothing changed to 1"}

    def begin(self, table: WindowTable, geobox: GeoBox, *, core: int, pieces: int, networks: int = 1) -> None:
        """Make room for the windows; labels and β of windows that are there already stay.

        Parameters
        ----------
        table, geobox, core, pieces, networks
            As of `MapStore`.
        """
        before, kept = self._attributes or {}, self.common(table)
        self._notes |= {
            "betas": before.get("betas", [])[:kept],
            "shift": before.get("shift") if kept else None,
            "suggested_shift": before.get("suggested_shift") if kept else None,
        }
        super().begin(table, geobox, core=core, pieces=pieces, networks=networks)
        if not self.complete and (kept < len(table) or len(self.betas) == len(table)):
            remove_tree(self.path / _SUMS)

    @property
    def betas(self) -> Betas:
        """Of the windows whose β is known, from the first on."""
        found = (self._attributes or {}).get("betas", [])
        values = [[np.nan if value is None else value for value in pair] for pair in found]
        return np.array(values, np.float64).reshape(-1, 2)

    @property
    def shift(self) -> float | None:
        """α that the labels are made with, once it is settled."""
        found = (self._attributes or {}).get("shift")
        return None if found is None else float(found)

    def sums(self, piece: int) -> NDArray[np.float64] | None:
        """Read what a piece adds to β, None if it is not known or damaged.

        Parameters
        ----------
        piece : int
            Which.
        """
        try:
            return np.asarray(np.load(self._sums_file(piece), allow_pickle=False))
        except (FileNotFoundError, ValueError, EOFError):
            return None

    def put_sums(self, piece: int, sums: NDArray[np.float64]) -> None:
        """Keep what a piece adds to β.

        Parameters
        ----------
        piece : int
            Which.
        sums : ndarray
            Of any shape.
        """
        file, content = self._sums_file(piece), io.BytesIO()
        np.save(content, sums)
        file.parent.mkdir(exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}.partial")
        draft.write_bytes(content.getvalue())
        draft.replace(file)

    def _sums_file(self, piece: int) -> Path:
        return self.path / _SUMS / f"{piece}.npy"

    def settle(self, betas: Betas, shift: float, suggested: float | None) -> None:
        """Write β and α, from which the labels follow.

        Parameters
        ----------
        betas : ndarray
            (window, 2) of all windows.
        shift : float
            α to use.
        suggested : float, optional
            α that the data suggest.
        """
        plain = [[float(value) if np.isfinite(value) else None for value in pair] for pair in betas]
        (self._attributes or {}).update(betas=plain, shift=shift, suggested_shift=suggested)
        self._write()
        remove_tree(self.path / _SUMS)

    def put(self, window: int, core: Slices, maps: FloatArray) -> None:
        """Write the label (1, y, x) of one window and piece."""
        with self._lock:
            super().put(window, core, maps)

    def done(self, piece: int) -> None:
        """Note that a piece has all its windows."""
        with self._lock:
            super().done(piece)


def open_labels(store: PathType) -> xr.Dataset:
    """Open synthetic labels without reading their pixels.

    Parameters
    ----------
    store : path
        What `synthetic_labels` wrote, or the output folder of ``terradelta label``.

    Returns
    -------
    xarray.Dataset
        ``label`` (window, y, x) float32 0..1, lazy. Along ``window``: ``start``, ``end`` (first and last
        observation), ``time`` (their middle), ``count`` (observations). ``attrs["settings"]`` tells ``era``,
        ``start``, ``end``, ``step`` (days), ``stride``, ``grid``, ``rule`` (fields of `LabelRule`), ``betas``
        (window, 2) and ``suggested_shift``.

    Raises
    ------
    CubeError
        If there are no labels, or unfinished ones.

    Examples
    --------
    >>> open_labels("nothing-here")
    Traceback (most recent call last):
    terradelta.errors.CubeError: nothing-here holds no synthetic labels; make them with terradelta label
    """
    path = Path(store)
    labels = open_windows(path / LABELS if (path / LABELS).is_dir() else path, LabelStore)
    settings = dict(labels.attrs["settings"])
    rule = {each.name: settings.pop(each.name) for each in fields(LabelRule)}
    settings["rule"] = {**rule, "shift": labels.attrs["shift"]}
    settings |= {name: labels.attrs[name] for name in ("end", "betas", "suggested_shift")}
    labels.attrs["settings"] = settings
    return labels


def labelled_stack(cube: xr.DataTree, labels: xr.Dataset, era: Era | None = None) -> Stack:
    """Prepare the frames that labels were made from: the same kept times.

    Parameters
    ----------
    cube : xarray.DataTree
        The cube.
    labels : Dataset
        From `open_labels`.
    era : Era, optional
        That of the labels, where it is not one of the known.

    Returns
    -------
    Stack
        A window of the labels holds its frames from ``start`` to ``end``, both included.

    Raises
    ------
    CubeError
        If the cube does not hold what the labels were made from.
    """
    settings = labels.attrs["settings"]
    step = np.timedelta64(round(settings["step"] * (_DAY / np.timedelta64(1, "ns"))), "ns")
    return Stack.of(cube, era or settings["era"], start=settings["start"], end=settings["end"], step=step)
