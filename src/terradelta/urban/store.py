"""Window maps on disk: written block by block, finished by the same call whenever a run was killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol, Self

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
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
from terradelta.types import FloatArray, PathType, Size
from terradelta.windows.blocks import Slices

__all__ = ["STATISTICS", "MapStore", "MemoryMaps", "Sink", "WindowTable", "open_maps", "open_windows"]

STATISTICS: Mapping[str, str] = {
    "mean": "mean over the networks",
    "minimum": "smallest over the networks",
    "maximum": "largest over the networks",
    "spread": "standard deviation over the networks",
}
"""What several networks give together; a single one has the mean alone."""

_SCHEMA, _CHUNK = 1, 256
_BUFFER_BYTES = 8 * 2**20
_REST, _FIRST = "unfinished", "first_observations"


@dataclass(frozen=True)
class WindowTable:
    """Where the windows lie in time.

    Attributes
    ----------
    start, end : ndarray of datetime64[ns]
        (window,) first and last observation.
    count : ndarray of int
        (window,) observations.
    digest : tuple of str
        One text per window; equal if all that was observed up to its end is equal.

    Examples
    --------
    >>> day = np.array(["2020-01-01", "2020-01-03"], "datetime64[ns]")
    >>> WindowTable(day[:1], day[1:], np.array([2]), ("ab",)).time
    array(['2020-01-02T00:00:00.000000000'], dtype='datetime64[ns]')
    """

    start: NDArray[np.datetime64]
    end: NDArray[np.datetime64]
    count: NDArray[np.int32]
    digest: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.digest)

    @property
    def time(self) -> NDArray[np.datetime64]:
        """Mid-point of start and end."""
        return np.asarray(self.start + (self.end - self.start) // 2)

    @property
    def names(self) -> tuple[str, ...]:
        """Identity of each window: equal only if start, end, number and pixels of all observations are."""
        moments = (self.start.astype("int64"), self.end.astype("int64"))
        return tuple(
            sha256(f"{start} {end} {count} {digest}".encode()).hexdigest()[:32]
            for start, end, count, digest in zip(*moments, self.count, self.digest, strict=True)
        )


class Sink(Protocol):
    """Where maps go."""

    def first(self, piece: int) -> int:
        """Tell the first window that a piece lacks."""

    def put(self, window: int, core: Slices, maps: FloatArray) -> None:
        """Take the maps (net, y, x) of one window and piece."""

    def done(self, piece: int) -> None:
        """Note that a piece has all its windows."""


class MemoryMaps:
    """Maps of one statistic in memory.

    Parameters
    ----------
    size : Size
        Rows and columns.
    windows : int
        Number of windows.
    statistic : str
        One of `STATISTICS`.

    Attributes
    ----------
    values : ndarray
        (window, y, x) float32, NaN where nothing was put.

    Examples
    --------
    >>> maps = MemoryMaps(Size(1, 2), 1, "spread")
    >>> maps.put(0, (slice(0, 1), slice(0, 1)), np.array([[[0.2]], [[0.4]]], "float32"))
    >>> maps.values.round(2).tolist()
    [[[0.10000000149011612, nan]]]
    """

    def __init__(self, size: Size, windows: int, statistic: str) -> None:
        self.values: FloatArray = np.full((windows, *size), np.nan, np.float32)
        self._statistic = statistic

    def first(self, piece: int) -> int:
        """Tell the first window that a piece lacks: all."""
        return 0

    def put(self, window: int, core: Slices, maps: FloatArray) -> None:
        """Take the maps (net, y, x) of one window and piece."""
        self.values[(window, *core)] = _statistic(self._statistic, maps)

    def done(self, piece: int) -> None:
        """Note that a piece has all its windows: nothing to do."""


class MapStore:
    """Maps in a Zarr group that is complete or says that it is not; a context manager that holds its lock.

    One small file, the group's own, says which windows it has and how far each piece has come; it is replaced
    in one step after each piece. Whatever ends the process, the same settings go on from there.

    Parameters
    ----------
    path : path
        Folder, by custom ending in ``.zarr``.
    settings : mapping
        What the maps depend on besides the observations; plain JSON values.
    notes : mapping
        What is told of the maps besides, but need not be the same.
    overwrite : bool
        Throw maps of other settings away instead of refusing.

    Attributes
    ----------
    mark : str
        Attribute of the group that tells what it holds.
    what, noun, verb : str
        What it holds, in full and in a word, and the verb that makes it; for messages.
    title : str
        What a reader of the file is told.

    Raises
    ------
    ConflictError
        If maps of other settings are there.
    InputError
        If something else is there.
    LockedError
        If another process writes there.
    StorageError
        If the disk refuses.
    """

    mark = "terradelta_maps"
    what, noun, verb = "window maps", "maps", "terradelta monitor"
    title = "Probability that something was built or torn down, per window of observations"

    def __init__(
        self,
        path: PathType,
        settings: Mapping[str, Any],
        notes: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self._settings, self._notes, self._overwrite = dict(settings), dict(notes), overwrite
        self._held = ExitStack()
        self._attributes: dict[str, Any] | None = None
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._done: list[int] = []
        self._names: tuple[str, ...] = ()
        self._whole = False
        self._waiting: list[tuple[int, Slices]] = []
        self._maps: list[FloatArray] = []

    def __enter__(self) -> Self:
        with self._held as held:
            held.enter_context(storage_errors(self.path))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(exclusive(self.path, timeout=0))
            self._attributes = self._found()
            self._held = held.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._held.__exit__(*error)

    def _found(self) -> dict[str, Any] | None:
        """Read what the store that is there says, None if it is not to be continued."""
        if not self.path.exists() or (self.path.is_dir() and not _used(self.path)):
            return None
        attributes = marked_attributes(self.path, self.mark, _SCHEMA)
        if attributes is None:
            raise InputError(
                f"{self.path} is there and holds no {self.what}; choose another path or remove it"
            )
        differing = _differences(attributes["settings"], self._settings)
        if not differing:
            return attributes
        if not self._overwrite:
            cure = "use another path" if [*differing] == [_FIRST] else "use the same settings, another path"
            raise ConflictError(
                f"{self.path} holds {self.noun} that differ in {', '.join(differing.values())}; "
                f"{cure}, or overwrite"
            )
        return None

    @property
    def core(self) -> int | None:
        """Side of the pieces of the run that is continued."""
        return None if self._attributes is None else int(self._attributes["core"])

    def begin(self, table: WindowTable, geobox: GeoBox, *, core: int, pieces: int, networks: int) -> None:
        """Make room for the windows; maps of windows that are there already stay.

        Parameters
        ----------
        table : WindowTable
            All windows.
        geobox : GeoBox
            Grid of the maps.
        core : int
            Side of a piece.
        pieces : int
            Number of pieces.
        networks : int
            Number of networks.
        """
        self._names = table.names
        before = self._attributes
        if before is not None and _REST not in before and _names_of(self.path, before) == [*self._names]:
            self._done = [len(self._names)] * pieces
            self._whole = True
            return
        kept = self.common(table)
        done = [len(self._names)] * pieces if before is None else _done_of(before, pieces)
        self._done = [min(count, kept) for count in done]
        self._attributes = {
            "Conventions": "CF-1.8",
            "title": self.title,
            **self._notes,
            self.mark: _SCHEMA,
            "core": core,
            "settings": self._settings,
        }
        for draft in self.path.rglob("*.partial"):
            draft.unlink(missing_ok=True)
        if before is None or before.get(_REST, {}).get("clear"):
            self._write(clear=True)
            for folder in self.path.iterdir():
                if folder.is_dir():
                    remove_tree(folder)
        self._write()
        layers = self.layers(networks)
        self._arrays = {
            name: self._array(name, title, len(table), geobox, core) for name, title in layers.items()
        }
        self._coordinates(table, geobox)

    @classmethod
    def layers(cls, networks: int) -> dict[str, str]:
        """Give the names of the layers, and what each holds.

        Parameters
        ----------
        networks : int
            Number of networks.
        """
        names = STATISTICS if networks > 1 else ("mean",)
        return {name: f"change probability, {STATISTICS[name]}" for name in names}

    @property
    def complete(self) -> bool:
        """Whether all windows that were asked for were there already."""
        return self._whole

    def common(self, table: WindowTable) -> int:
        """Count the windows at the start that are the same as in the store.

        Parameters
        ----------
        table : WindowTable
            All windows.
        """
        before = self._attributes
        return 0 if before is None else _common(_names_of(self.path, before), table.names)

    def _write(self, *, clear: bool = False, complete: bool = False) -> None:
        rest = {"windows": self._names, "done": self._done, "clear": clear}
        extra: dict[str, Any] = {"terradelta": __version__} if complete else {_REST: rest}
        write_json(self.path / "zarr.json", group_document({**(self._attributes or {}), **extra}))

    def _array(self, name: str, title: str, windows: int, geobox: GeoBox, core: int) -> zarr.Array[Any]:
        folder = self.path / name
        if (folder / "zarr.json").exists():
            array = open_array(folder, write=True)
            if array.shape[0] != windows:
                array.resize((windows, *array.shape[1:]))
            return array
        return zarr.create_array(
            str(folder),
            shape=(windows, *geobox.shape),
            chunks=(1, *(min(_chunk(core), length) for length in geobox.shape)),
            dtype="float32",
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle.bitshuffle),
            fill_value=float("nan"),
            dimension_names=("window", "y", "x"),
            attributes={
                "long_name": title,
                "units": "1",
                "grid_mapping": "spatial_ref",
                "coordinates": "start end time count digest",
            },
        )

    def _coordinates(self, table: WindowTable, geobox: GeoBox) -> None:
        write_grid(self.path, geobox)
        moments = {"start": "first observation", "end": "last observation", "time": "middle of start and end"}
        for name, title in moments.items():
            values = getattr(table, name).astype("int64")
            write_vector(self.path / name, values, ("window",), {**TIME_ATTRIBUTES, "long_name": title})
        count = table.count.astype("int32")
        write_vector(self.path / "count", count, ("window",), {"long_name": "observations", "units": "1"})
        names = np.array(self._names, dtype=object)
        write_vector(self.path / "digest", names, ("window",), {"long_name": "what the maps were made from"})

    def first(self, piece: int) -> int:
        """Tell the first window that a piece lacks."""
        return self._done[piece]

    def put(self, window: int, core: Slices, maps: FloatArray) -> None:
        """Write the maps (net, y, x) of one window and piece; some wait to be written together."""
        follows = self._waiting and self._waiting[-1] == (window - 1, core)
        if not follows or sum(one.nbytes for one in self._maps) > _BUFFER_BYTES:
            self._flush()
        self._waiting.append((window, core))
        self._maps.append(maps)

    def _flush(self) -> None:
        if self._waiting:
            (first, core), maps = self._waiting[0], np.stack(self._maps)
            for name, array in self._arrays.items():
                array[(slice(first, first + len(maps)), *core)] = _statistic(name, maps)
        self._waiting, self._maps = [], []

    def done(self, piece: int) -> None:
        """Note that a piece has all its windows."""
        self._flush()
        self._done[piece] = len(self._names)
        self._write()

    def finish(self) -> None:
        """Say that all is there."""
        if not self._whole:
            sync_tree(self.path)
            self._write(complete=True)


def open_maps(store: PathType) -> xr.Dataset:
    """Open window maps without reading their pixels.

    Parameters
    ----------
    store : path
        What `monitor` wrote.

    Returns
    -------
    xarray.Dataset
        ``mean`` and, of several networks, ``minimum``, ``maximum`` and ``spread``: (window, y, x) float32 in
        0..1, NaN where nothing was computed. Along ``window``: ``start``, ``end`` (first and last
        observation), ``time`` (their middle) and ``count`` (observations).

    Raises
    ------
    CubeError
        If there are no maps, or unfinished ones.
    """
    return open_windows(store, MapStore)


def open_windows(store: PathType, kind: type[MapStore]) -> xr.Dataset:
    """Open the layers of a store, one per window, without reading their pixels.

    Parameters
    ----------
    store : path
        The store.
    kind : type
        What it should be.

    Returns
    -------
    xarray.Dataset
        The layers that are there (window, y, x); along ``window``: ``start``, ``end``, ``time``, ``count``.

    Raises
    ------
    CubeError
        If it is something else, or not finished.
    """
    path = Path(store)
    attributes = marked_attributes(path, kind.mark, _SCHEMA)
    if attributes is None:
        raise CubeError(f"{path} holds no {kind.what}; make them with {kind.verb}")
    if _REST in attributes:
        raise CubeError(f"{path} is not finished yet; run the same command again to complete it")
    maps = xr.Dataset(coords=grid_coords(grid_from(attributes["settings"]["grid"])), attrs=attributes)
    for name in ("start", "end", "time", "count"):
        values = np.asarray(open_array(path / name)[...])
        values = values if name == "count" else values.astype("datetime64[ns]")
        maps = maps.assign_coords({name: ("window", values)})
    for name in kind.layers(2):
        if (path / name / "zarr.json").exists():
            array = open_array(path / name)
            lazy = da.from_array(array, chunks=array.chunks)  # type: ignore[no-untyped-call]
            maps[name] = (("window", "y", "x"), lazy, {"long_name": array.attrs["long_name"], "units": "1"})
            maps[name].encoding["grid_mapping"] = "spatial_ref"
    return maps


def _used(folder: Path) -> bool:
    """Tell whether a folder holds more than the draft of a first file."""
    return any(file.suffix != ".partial" for file in folder.iterdir())


def _statistic(name: str, maps: FloatArray) -> NDArray[np.float32]:
    """Join the networks' maps (..., net, y, x) into one."""
    if maps.shape[-3] == 1 and name != "spread":
        return np.asarray(maps[..., 0, :, :], np.float32)
    functions: dict[str, Callable[..., FloatArray]] = {
        "mean": np.mean, "minimum": np.min, "maximum": np.max, "spread": np.std,
    }  # fmt: skip
    return np.asarray(functions[name](maps.astype(np.float64), axis=-3), np.float32)


def _names_of(path: Path, attributes: Mapping[str, Any]) -> list[str]:
    """Tell the identities of the windows of a store, finished or not."""
    if _REST in attributes:
        return list(attributes[_REST]["windows"])
    return [str(name) for name in np.asarray(open_array(path / "digest")[...])]


def _done_of(attributes: Mapping[str, Any], pieces: int) -> list[int]:
    """Tell how many windows each piece has."""
    if _REST in attributes:
        return [int(count) for count in attributes[_REST]["done"]]
    return [np.iinfo(np.int64).max] * pieces


def _common(before: Sequence[str], now: Sequence[str]) -> int:
    """Count the windows at the start that did not change."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(before, now, strict=False))))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Say what two sets of settings differ in, in a few words each."""
    found = {}
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        short = all(isinstance(value, str | int | float | None) for value in (old, new))
        found[key] = f"{key} ({old} there, {new} now)" if short else key
        if key == _FIRST:
            found[key] = (
                "the first observations of the cube (older ones were added since, or it is another cube)"
            )
    return found


def _chunk(core: int) -> int:
    """Choose the side of chunks: whole pieces, or a piece's equal parts, up to 256 pixels."""
    return core * (_CHUNK // core) if core <= _CHUNK else -(-core // -(-core // _CHUNK))
