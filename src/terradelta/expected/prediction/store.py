"""A prediction on disk or in memory: piece by piece, completed by the same call after a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from odc.geo.geobox import GeoBox
from zarr.codecs import BloscCodec, BloscShuffle

from terradelta import __version__
from terradelta.cube.arrays import open_array, write_grid, write_vector
from terradelta.cube.files import (
    marked_attributes,
    remove_tree,
    storage_errors,
    sync_tree,
    write_json,
)
from terradelta.cube.grid import grid_coords, grid_from
from terradelta.cube.locking import exclusive
from terradelta.cube.schema import TIME_ATTRIBUTES
from terradelta.cube.store import group_document
from terradelta.errors import ConflictError, CubeError, InputError
from terradelta.expected.prediction.tiling import PIECE
from terradelta.types import FloatArray, PathType, Size
from terradelta.windows.blocks import Slices

__all__ = ["TITLES", "MemoryImages", "PredictionStore", "Sink", "as_dataset", "open_prediction"]

TITLES: Mapping[str, str] = {
    "expected": "backscatter that should have been seen if nothing had changed",
    "target": "backscatter as it was seen, prepared as the model's images are",
    "sigma": "standard deviation of the target around the expected image",
}
"""Layers of a prediction, each (band, y, x) in dB."""

_SCHEMA, _MARK, _REST, _TILES = 1, "terradelta_expected", "unfinished", ".tiles"


class Sink(Protocol):
    """Where pieces of a prediction and the tiles that they are blended from go."""

    def has(self, piece: int) -> bool:
        """Tell whether a piece is there."""

    def put(self, piece: int, part: Slices, values: FloatArray) -> None:
        """Take a piece, (layer, band, y, x)."""

    def keep(self, tile: int, values: FloatArray | None) -> None:
        """Keep the result of a tile until it is not needed any more (None)."""

    def tile(self, tile: int) -> FloatArray | None:
        """Give the result of a tile; None if it is not there."""


class MemoryImages:
    """A prediction in memory.

    Parameters
    ----------
    layers : sequence of str
        Of `TITLES`.
    bands : int
        Number of bands.
    size : Size
        Rows and columns.

    Attributes
    ----------
    values : ndarray
        (layer, band, y, x) float32.
    """

    def __init__(self, layers: Sequence[str], bands: int, size: Size) -> None:
        self.values: FloatArray = np.full((len(layers), bands, *size), np.nan, np.float32)
        self._tiles: dict[int, FloatArray] = {}

    def has(self, piece: int) -> bool:
        """Tell whether a piece is there: none is at the start."""
        return False

    def put(self, piece: int, part: Slices, values: FloatArray) -> None:
        """Take a piece."""
        self.values[(..., *part)] = values

    def keep(self, tile: int, values: FloatArray | None) -> None:
        """Keep the result of a tile, or drop it."""
        if values is None:
            self._tiles.pop(tile, None)
        else:
            self._tiles[tile] = values

    def tile(self, tile: int) -> FloatArray | None:
        """Give the result of a tile."""
        return self._tiles.get(tile)


class PredictionStore:
    """A prediction in a Zarr group that is complete or says that it is not; holds its lock while it is open.

    Parameters
    ----------
    path : path
        Folder, by custom ending in ``.zarr``.
    settings : mapping
        What the prediction depends on; plain JSON values.
    overwrite : bool
        Throw a prediction of other settings away instead of refusing.

    Attributes
    ----------
    block : int or None
        Side of the blocks of the run that is continued.
    complete : bool
        Whether all is there already.

    Raises
    ------
    ConflictError
        If a prediction of other settings is there.
    InputError
        If something else is there.
    LockedError
        If another process writes there.
    StorageError
        If the disk refuses.
    """

    def __init__(self, path: PathType, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._settings, self._overwrite = dict(settings), overwrite
        self._held = ExitStack()
        self._attributes: dict[str, Any] = {}
        self._arrays: list[zarr.Array[Any]] = []
        self._done: set[int] = set()
        self.block: int | None = None
        self.complete = False

    def __enter__(self) -> PredictionStore:
        with self._held as held:
            held.enter_context(storage_errors(self.path))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusive(self.path, timeout=0))
            before = self._found()
            if before is not None:
                self.block = int(before["block"])
                self.complete = _REST not in before
                self._done = set(before.get(_REST, {}).get("done", ()))
            self._held = held.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._held.__exit__(*error)

    def _found(self) -> dict[str, Any] | None:
        """Read what is there; None if it is not to be continued."""
        if not self.path.exists() or not any(self.path.iterdir()):
            return None
        attributes = marked_attributes(self.path, _MARK, _SCHEMA)
        if attributes is None:
            raise InputError(
                f"{self.path} is there and holds no expected image; choose another path or remove it"
            )
        names = {*attributes["settings"], *self._settings}
        differing = sorted(n for n in names if attributes["settings"].get(n) != self._settings.get(n))
        if not differing:
            return attributes
        if not self._overwrite:
            raise ConflictError(
                f"{self.path} holds an expected image that differs in {', '.join(differing)}; "
                "use the same settings, another path, or overwrite"
            )
        return None

    def begin(
        self,
        layers: Sequence[str],
        bands: Sequence[str],
        geobox: GeoBox,
        attributes: Mapping[str, Any],
        block: int,
    ) -> None:
        """Make room; what is there of the same settings stays.

        Parameters
        ----------
        layers, bands : sequence of str
            Names.
        geobox : GeoBox
            The grid.
        attributes : mapping
            What is told of the prediction.
        block : int
            Side of the blocks.
        """
        self._attributes = {
            "Conventions": "CF-1.8", **attributes, _MARK: _SCHEMA, "block": block,
            "layers": list(layers), "settings": self._settings,
        }  # fmt: skip
        if self.block is None:
            self.path.mkdir(exist_ok=True)
            for folder in self.path.iterdir():
                if folder.is_dir():
                    remove_tree(folder)
            self._done = set()
            self._write()
        for draft in self.path.rglob("*.partial"):
            draft.unlink(missing_ok=True)
        (self.path / _TILES).mkdir(exist_ok=True)
        self._arrays = [self._array(name, len(bands), geobox) for name in layers]
        write_grid(self.path, geobox)
        write_vector(self.path / "band", np.array(list(bands), dtype=object), ("band",), {})
        moment = np.array(np.datetime64(attributes["time"], "ns")).astype("int64")
        write_vector(self.path / "time", moment, (), dict(TIME_ATTRIBUTES))

    def _array(self, name: str, bands: int, geobox: GeoBox) -> zarr.Array[Any]:
        folder = self.path / name
        if (folder / "zarr.json").exists():
            return open_array(folder, write=True)
        told: dict[str, Any] = {"long_name": TITLES[name], "units": "dB", "grid_mapping": "spatial_ref"}
        told["coordinates"] = "time"
        return zarr.create_array(
            str(folder),
            shape=(bands, *geobox.shape),
            chunks=(bands, *(min(PIECE, length) for length in geobox.shape)),
            dtype="float32",
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
            fill_value=float("nan"),
            dimension_names=("band", "y", "x"),
            attributes=told,
        )  # fmt: skip

    def _write(self, *, complete: bool = False) -> None:
        rest = {"terradelta": __version__} if complete else {_REST: {"done": sorted(self._done)}}
        write_json(self.path / "zarr.json", group_document({**self._attributes, **rest}))

    def has(self, piece: int) -> bool:
        """Tell whether a piece was written, by this run or an earlier one."""
        return piece in self._done

    def put(self, piece: int, part: Slices, values: FloatArray) -> None:
        """Write a piece, then mark it as done."""
        for array, layer in zip(self._arrays, values, strict=True):
            array[(slice(None), *part)] = layer
        self._done.add(piece)
        self._write()

    def keep(self, tile: int, values: FloatArray | None) -> None:
        """Keep the result of a tile beside the pieces, or drop it."""
        file = self.path / _TILES / f"{tile}.npy"
        if values is None:
            file.unlink(missing_ok=True)
            return
        partial = file.with_suffix(".partial")
        with partial.open("wb") as stream:
            np.save(stream, values, allow_pickle=False)
        partial.replace(file)

    def tile(self, tile: int) -> FloatArray | None:
        """Read the result of a tile."""
        file = self.path / _TILES / f"{tile}.npy"
        try:
            found: FloatArray = np.load(file, allow_pickle=False)
        except (FileNotFoundError, ValueError, EOFError):  # never made, or cut short when the machine stopped
            return None
        return found

    def finish(self) -> None:
        """Say that all is there."""
        remove_tree(self.path / _TILES)
        sync_tree(self.path)
        self._write(complete=True)
        self.complete = True


def open_prediction(store: PathType) -> xr.Dataset:
    """Open an expected image without reading its pixels.

    Parameters
    ----------
    store : path
        What `predict` wrote.

    Returns
    -------
    Dataset
        As `predict` gives it, lazy.

    Raises
    ------
    CubeError
        If there is none, or an unfinished one.
    """
    path = Path(store)
    attributes = marked_attributes(path, _MARK, _SCHEMA)
    if attributes is None:
        raise CubeError(f"{path} holds no expected image; make one with terradelta predict")
    if _REST in attributes:
        raise CubeError(f"{path} is not finished yet; run the same command again to complete it")
    layers = {}
    for name in attributes["layers"]:
        array = open_array(path / name)
        layers[name] = da.from_array(array, chunks=array.chunks)  # type: ignore[no-untyped-call]
    bands = [str(band) for band in np.asarray(open_array(path / "band")[...])]
    inner = {"settings", "layers", "block", _MARK}
    told = {key: value for key, value in attributes.items() if key not in inner}
    return as_dataset(layers, bands, grid_from(attributes["settings"]["grid"]), told)


def as_dataset(
    layers: Mapping[str, Any], bands: Sequence[str], geobox: GeoBox, attributes: Mapping[str, Any]
) -> xr.Dataset:
    """Put layers together with their coordinates and what is told of them.

    Parameters
    ----------
    layers : mapping
        Name to (band, y, x).
    bands : sequence of str
        Names of the bands.
    geobox : GeoBox
        The grid.
    attributes : mapping
        What is told, ``time`` among it.

    Returns
    -------
    Dataset
        On the grid.
    """
    moment = np.datetime64(attributes["time"], "ns")
    coords = {**grid_coords(geobox), "band": np.array(list(bands), dtype=object), "time": moment}
    found = xr.Dataset(coords=coords, attrs=dict(attributes))
    for name, values in layers.items():
        found[name] = (("band", "y", "x"), values, {"long_name": TITLES[name], "units": "dB"})
        found[name].encoding["grid_mapping"] = "spatial_ref"
    return found
