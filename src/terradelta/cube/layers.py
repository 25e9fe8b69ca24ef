"""What does not change with the acquisitions: layers of the ground, and daily weather."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from terradelta.cube.arrays import open_array, write_grid
from terradelta.cube.files import remove_tree, storage_errors, sync_tree, write_json
from terradelta.cube.layout import codec, layout_for
from terradelta.cube.locking import WAIT, exclusive
from terradelta.cube.store import Header, group_document, read_header
from terradelta.errors import ConflictError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from terradelta.types import PathType

__all__ = ["replacing", "write_layer", "write_static"]

_RESERVED = {"x", "y", "spatial_ref", "time", "band", "day"}


def write_static(
    path: PathType,
    name: str,
    values: Any,
    *,
    units: str = "",
    description: str = "",
    overwrite: bool = False,
    timeout: float = WAIT,
) -> None:
    """Write one layer of the ground, such as ``dem`` (m), ``forest`` (0/1) or ``land_cover``.

    Parameters
    ----------
    path : path
        The cube.
    name : str
        Name of the layer: letters, digits and underscores.
    values : array, (y, x)
        On the cube's grid, NumPy or dask, any real or bool type, kept as it is; NaN = no data.
    units : str
        Unit of the values.
    description : str
        One line about the layer.
    overwrite : bool
        Replace a layer of other values instead of refusing.
    timeout : float
        Seconds to wait while another process writes to the same cube.

    Raises
    ------
    ConflictError
        If the layer is there with other values and `overwrite` is false.
    InputError
        If name, shape or type do not fit.
    LockedError, StorageError
        If another process holds the cube, or the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import create_cube, open_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> write_static(folder, "dem", np.full((8, 10), 64.0), units="m")
    >>> float(open_cube(folder)["static"].dem.mean())
    64.0
    """
    attributes = {"units": units, "long_name": description}
    write_layer(path, "static", name, values, attributes, overwrite=overwrite, timeout=timeout)


def write_layer(
    path: PathType,
    group: str,
    name: str,
    values: Any,
    attributes: dict[str, Any],
    *,
    overwrite: bool = False,
    timeout: float = WAIT,
) -> None:
    """Write one (y, x) layer into ``static`` or ``truth``.

    Parameters
    ----------
    path : path
        The cube.
    group : str
        ``static`` or ``truth``.
    name : str
        Name of the layer.
    values : array, (y, x)
        On the cube's grid, NumPy or dask.
    attributes : dict
        Kept with the layer; empty values are left out.
    overwrite : bool
        Replace a layer of other values instead of refusing.
    timeout : float
        Seconds to wait while another process writes to the same cube.

    Raises
    ------
    ConflictError, InputError, LockedError, StorageError
        As :func:`write_static`.
    """
    header = read_header(path)
    _check_layer(header, name, values)
    with storage_errors(header.path), exclusive(header.path, timeout):
        target = header.path / group / name
        with replacing(header.path, target) as draft:
            if (target / "zarr.json").exists():
                difference = _difference(target, values, header)
                if not difference:
                    return
                if not overwrite:
                    raise ConflictError(
                        f"layer {group}/{name} is in the cube with other values: {difference}; "
                        "give overwrite=True to replace it"
                    )
            _write_draft(header, draft, values, {key: value for key, value in attributes.items() if value})
            if not (header.path / group / "zarr.json").exists():
                write_grid(header.path / group, header.geobox)
                write_json(header.path / group / "zarr.json", group_document({}))


@contextmanager
def replacing(cube: Path, target: Path) -> Iterator[Path]:
    """Write a folder of the cube aside and put it in place when it is whole.

    A process that dies leaves either the old folder or the new one: one caught in the middle of the exchange
    is put back by the next call.

    Parameters
    ----------
    cube : Path
        The cube, held for writing.
    target : Path
        Folder to replace.

    Yields
    ------
    Path
        Folder to write to; nothing is exchanged if it does not exist in the end.
    """
    aside = cube / ".partial"
    key = "-".join(target.relative_to(cube).parts)
    draft, old = aside / f"{key}.new", aside / f"{key}.old"
    _put_back(cube, aside)
    try:
        yield draft
        if draft.exists():
            sync_tree(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                target.rename(old)
            draft.rename(target)
    finally:
        if target.exists() or not old.exists():
            remove_tree(aside)


def _put_back(cube: Path, aside: Path) -> None:
    """Undo an exchange that was cut short between its two steps, and drop what was not finished."""
    for old in aside.glob("*.old"):
        target = cube.joinpath(*old.stem.split("-"))
        if not target.exists():
            old.rename(target)
    remove_tree(aside)


def _check_layer(header: Header, name: str, values: Any) -> None:
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or name in _RESERVED:
        raise InputError(
            f"{name!r} cannot name a layer; use letters, digits and underscores, such as land_cover"
        )
    if tuple(values.shape) != tuple(header.size):
        raise InputError(
            f"layer {name} has shape {tuple(values.shape)}, the cube {tuple(header.size)}; "
            "bring it onto the cube's grid first"
        )
    if values.dtype.kind not in "bifu":
        raise InputError(f"layer {name} is of type {values.dtype}; expected numbers or bool")


def _windows(header: Header) -> Iterator[tuple[slice, slice]]:
    step_y, step_x = layout_for(header.size).shard
    for y in range(0, header.size.y, step_y):
        for x in range(0, header.size.x, step_x):
            yield slice(y, y + step_y), slice(x, x + step_x)


def _write_draft(header: Header, draft: Path, values: Any, attributes: dict[str, Any]) -> None:
    layout = layout_for(header.size)
    array = zarr.create_array(
        str(draft),
        shape=tuple(header.size),
        dtype=values.dtype,
        chunks=layout.chunk,
        shards=layout.shard,
        compressors=codec(),
        fill_value=np.nan if values.dtype.kind == "f" else 0,
        dimension_names=("y", "x"),
        attributes={**attributes, "grid_mapping": "spatial_ref"},
    )
    for window in _windows(header):
        array[window] = np.asarray(values[window])


def _difference(target: Path, values: Any, header: Header) -> str:
    stored = open_array(target)
    if stored.dtype != values.dtype:
        return f"type {stored.dtype}, now {values.dtype}"
    count = 0
    for window in _windows(header):
        old, new = np.asarray(stored[window]), np.asarray(values[window])
        count += int(np.count_nonzero((old != new) & ~((old != old) & (new != new))))
    return f"{count} of {header.size.y * header.size.x} pixels differ" if count else ""
