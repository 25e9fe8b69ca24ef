"""Unfinished results on disk: what is done stays done when a run is killed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from terradelta.errors import ConflictError, StorageError
from terradelta.types import Size
from terradelta.windows import Block

__all__ = ["WORK", "Store"]

WORK = ".terradelta-work"
"""Folder inside the output that holds what is not finished yet."""

LayerTypes = Mapping[str, tuple[str, float, int]]


class Store:
    """Layers of every orbit, block by block; in memory where no folder is given.

    Parameters
    ----------
    folder : Path or None
        The output folder.
    plan : mapping
        What the results depend on; a store with another plan is not continued.
    overwrite : bool
        Throw such a store away instead of refusing.

    Raises
    ------
    ConflictError
        If an unfinished run with other settings or inputs is there.
    StorageError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path | None, plan: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.folder = folder / WORK if folder is not None else None
        self._memory: dict[str, zarr.Group] = {}
        self._done: dict[str, set[int]] = {}
        self.plan = dict(plan)
        if self.folder is not None:
            with _storing(self.folder):
                self._open(self.folder, overwrite)

    def _open(self, folder: Path, overwrite: bool) -> None:
        known = folder / "plan.json"
        if known.exists():
            before = json.loads(known.read_text(encoding="utf-8"))
            changed = [key for key in self.plan if key != "block" and before.get(key) != self.plan[key]]
            if not changed:
                self.plan = before
                return
            if not overwrite:
                raise ConflictError(
                    f"{folder.parent} holds an unfinished run that differs in {', '.join(changed)}; "
                    "use the same settings, another folder, or --overwrite"
                )
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _write_whole(known, json.dumps(self.plan).encode())

    def layers(self, name: str, types: LayerTypes, size: Size, block: int) -> zarr.Group:
        """Open the arrays of one orbit, made where they are missing."""
        if self.folder is None:
            group = self._memory.setdefault(name, zarr.group())
        else:
            with _storing(self.folder):
                group = zarr.open_group(str(self.folder / name / "layers.zarr"), mode="a")
        for layer, (dtype, nodata, bands) in types.items():
            if layer not in group:
                lead = (bands,) if bands else ()
                group.create_array(
                    layer,
                    shape=(*lead, *size),
                    chunks=(*lead, min(block, size.y), min(block, size.x)),
                    dtype=dtype,
                    fill_value=nodata,
                )
        return group

    def is_done(self, name: str, number: int) -> bool:
        """Tell whether a block was written as a whole."""
        if self.folder is None:
            return number in self._done.get(name, set())
        return (self.folder / name / f"block-{number}").exists()

    def put(self, name: str, number: int, block: Block, group: zarr.Group, layers: Mapping[str, Any]) -> None:
        """Write a block's layers, then mark it as done."""
        rows, columns = block.core
        if self.folder is None:
            for layer, values in layers.items():
                group[layer][..., rows, columns] = values  # type: ignore[index]
            self._done.setdefault(name, set()).add(number)
            return
        with _storing(self.folder):
            for layer, values in layers.items():
                group[layer][..., rows, columns] = values  # type: ignore[index]
            (self.folder / name / f"block-{number}").touch()

    def load(self, name: str, file: str) -> dict[str, NDArray[Any]] | None:
        """Read arrays kept by `save`, if they are there."""
        if self.folder is None or not (path := self.folder / name / file).exists():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    def save(self, name: str, file: str, arrays: Mapping[str, NDArray[Any]]) -> Path | None:
        """Keep arrays for a later run; nothing where there is no folder."""
        if self.folder is None:
            return None
        path = self.folder / name / file
        with _storing(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            with partial.open("wb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]
            partial.replace(path)
        return path

    def dataset(self, group: zarr.Group, bands: list[str], geobox: GeoBox, units: str) -> xr.Dataset:
        """Give the layers of one orbit as a lazy dataset on its grid."""
        found = xr.Dataset(coords=xr_coords(geobox))
        y, x = geobox.dimensions
        for layer, array in sorted(group.arrays()):
            lazy = da.from_array(array, chunks=array.chunks)  # type: ignore[no-untyped-call]
            dims = ("band", y, x) if lazy.ndim == 3 else (y, x)
            found[layer] = xr.DataArray(lazy, dims=dims, attrs={"grid_mapping": "spatial_ref"})
        if "band" in found.dims:
            found = found.assign_coords(band=("band", np.array(bands, dtype=object)))
        if "score" in found:
            found["score"].attrs["units"] = units
        return found

    def remove(self) -> None:
        """Take the unfinished results away; they are in the products now."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


class _storing:
    """Turn a failure to write into one clear line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError):
            raise StorageError(
                f"cannot write to {self._folder.parent}: {error.strerror or error}; "
                "free some room or choose another folder"
            ) from None


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
