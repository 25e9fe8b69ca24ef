"""Unfinished results on disk: what is done stays done when a run is killed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from terradelta.errors import ConflictError, LockedError, StorageError
from terradelta.types import Size
from terradelta.windows import Block
from terradelta.workflows.detect.plan import changed_keys

__all__ = ["WORK", "LayerTypes", "Store"]

WORK = ".terradelta-work"
"""Folder inside the output that holds what is not finished yet."""

LayerTypes = Mapping[str, tuple[str, float, int]]
"""Name of a layer to its type, its value of no data and its number of bands (0: none)."""

_PLAN, _LOCK = "plan.json", "lock"


class Store:
    """Layers of every orbit, block by block; in memory where no folder is given.

    A context manager: only one process at a time works in a folder.

    Parameters
    ----------
    out : Path or None
        The output folder.
    plan : mapping
        What the results depend on; a store with another plan is not continued.
    overwrite : bool
        Throw such a store away instead of refusing.

    Attributes
    ----------
    block : int or None
        Side of the blocks once it is decided (`decide`), by this run or the one that it continues.

    Raises
    ------
    ConflictError
        If an unfinished run with other settings or inputs is there.
    LockedError
        If another process works there.
    StorageError
        If the folder cannot be written.
    """

    def __init__(self, out: Path | None, plan: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self._folder = out / WORK if out is not None else None
        self._plan, self._overwrite = dict(plan), overwrite
        self._groups: dict[str, zarr.Group] = {}
        self._lock: FileLock | None = None
        self.block: int | None = None

    def __enter__(self) -> Store:
        if self._folder is not None:
            with _storing(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._lock = FileLock(self._folder / _LOCK, timeout=0)
                try:
                    self._lock.acquire()
                except Timeout:
                    raise LockedError(
                        f"another process is working in {self._folder.parent}; wait or choose another folder"
                    ) from None
                self._continue(self._folder)
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def _continue(self, folder: Path) -> None:
        """Take over an unfinished run, or clear the folder."""
        known = folder / _PLAN
        if known.exists():
            before = json.loads(known.read_text(encoding="utf-8"))
            changed = changed_keys(self._plan, before)
            if not changed:
                self.block = int(before["block"])
                return
            if not self._overwrite:
                raise ConflictError(
                    f"{folder.parent} holds an unfinished run that differs in {', '.join(changed)}; "
                    "use the same settings, another folder, or --overwrite"
                )
            known.unlink()
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)

    def decide(self, block: int) -> None:
        """Fix the side of the blocks; from here on the run can be continued."""
        self.block = block
        if self._folder is not None:
            with _storing(self._folder):
                _write_whole(self._folder / _PLAN, json.dumps({**self._plan, "block": block}).encode())

    def open_layers(self, name: str, types: LayerTypes, size: Size) -> None:
        """Open the arrays of one orbit, made where they are missing."""
        block = self.block or max(size)
        with _storing(self._folder):
            place = None if self._folder is None else str(self._folder / name / "layers.zarr")
            group = zarr.open_group(place, mode="a") if place else zarr.group()
            for layer, (dtype, nodata, bands) in types.items():
                lead = (bands,) if bands else ()
                if layer not in group:
                    group.create_array(
                        layer,
                        shape=(*lead, *size),
                        chunks=(*lead, min(block, size.y), min(block, size.x)),
                        dtype=dtype,
                        fill_value=nodata,
                    )
        self._groups[name] = group

    def folder(self, name: str) -> Path | None:
        """Give the folder of one orbit, for what else is kept until the run is done; None in memory."""
        return None if self._folder is None else self._folder / name

    def is_done(self, name: str, number: int) -> bool:
        """Tell whether a block was written as a whole, by this run or an earlier one."""
        return self._folder is not None and (self._folder / name / f"block-{number}").exists()

    def put(self, name: str, number: int, block: Block, layers: Mapping[str, NDArray[Any]]) -> None:
        """Write a block's layers, then mark it as done."""
        rows, columns = block.core
        with _storing(self._folder):
            for layer, values in layers.items():
                array = self._groups[name][layer]
                array[..., rows, columns] = values  # type: ignore[index]
            if self._folder is not None:
                (self._folder / name / f"block-{number}").touch()

    def load(self, name: str, file: str) -> dict[str, NDArray[Any]] | None:
        """Read arrays kept by `save`, if they are there."""
        if self._folder is None or not (path := self._folder / name / file).exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    def save(self, name: str, file: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays for a later run; nothing where there is no folder."""
        if self._folder is None:
            return
        path = self._folder / name / file
        with _storing(self._folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            with partial.open("wb") as stream:
                np.savez(stream, **dict(arrays))  # type: ignore[arg-type]
            partial.replace(path)

    def dataset(self, name: str, bands: list[str], geobox: GeoBox, units: str) -> xr.Dataset:
        """Give the layers of one orbit as a lazy dataset on its grid."""
        found = xr.Dataset(coords=xr_coords(geobox))
        y, x = geobox.dimensions
        for layer, array in sorted(self._groups[name].arrays()):
            lazy = da.from_array(array, chunks=array.chunks)  # type: ignore[no-untyped-call]
            dims = ("band", y, x) if lazy.ndim == 3 else (y, x)
            found[layer] = xr.DataArray(lazy, dims=dims, attrs={"grid_mapping": "spatial_ref"})
        if "band" in found.dims:
            found = found.assign_coords(band=("band", np.array(bands, dtype=object)))
        found["score"].attrs["units"] = units
        return found

    def remove(self) -> None:
        """Take the unfinished results away; they are in the products now."""
        if self._folder is not None:
            (self._folder / _PLAN).unlink(missing_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def _storing(folder: Path | None) -> Iterator[None]:
    """Turn a failure to write into one clear line."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write to {folder.parent if folder else 'memory'}: {error.strerror or error}; "
            "free some room or choose another folder"
        ) from error


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
