"""Writing a training file: sample after sample beside its place; a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import zarr

from terradelta.cube.files import read_json, remove_tree, storage_errors, sync_tree, write_json
from terradelta.cube.locking import exclusive
from terradelta.cube.store import group_document
from terradelta.errors import ConflictError, InputError
from terradelta.expected.samples.storage import (
    COLUMNS,
    FORMAT,
    NOTES,
    VERSION,
    Precision,
    codec,
    pictures_of,
    row_of,
    sample_digest,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from terradelta.expected.samples.sample import Sample
    from terradelta.types import PathType

__all__ = ["write_samples"]

_JOURNAL = "journal.jsonl"
_ROOM = 1 << 20
_DIMS = {"images": ("sample", "image", "band", "y", "x"), "ground": ("sample", "layer", "y", "x")}


def write_samples(
    path: PathType, samples: Iterable[Sample], *, precision: Precision = "int16", overwrite: bool = False
) -> int:
    """Write samples to a training file.

    They are written to a folder beside it, which gets its name when all are there. A run that was killed
    leaves that folder; the same call goes on with it and ends with the same file.

    Parameters
    ----------
    path : path-like
        Name of the file, by custom ending in ``.zarr``.
    samples : iterable of Sample
        All of one size, bands and number of previous images. A sequence (`PlannedSamples`) is asked only for
        what is missing when a killed run goes on; any other iterable is read again from the start.
    precision : "int16" or "float32"
        Images in steps of 1/256 dB, or bit by bit.
    overwrite : bool
        Replace another file at that place.

    Returns
    -------
    int
        Number of samples in the file.

    Raises
    ------
    InputError
        No samples, or one that does not fit to the first or holds infinite values; it is named.
    ConflictError
        A file is there with other samples, or the rest of a run with others.
    StorageError, LockedError
        The disk refuses, or another process writes to the same file.
    """
    target = Path(path)
    if precision not in ("int16", "float32"):
        raise InputError(f"precision is {precision!r}; expected 'int16' or 'float32'")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = _Draft(target.with_name(f".{target.name}.partial"), precision)
        with exclusive(target):
            if target.exists() and not overwrite:
                return _present(target, samples)
            draft.take(samples)
            draft.finish(target, str(getattr(samples, "digest", "")))
    return len(draft.rows)


def _present(target: Path, samples: Iterable[Sample]) -> int:
    attributes = (read_json(target / "zarr.json") or {}).get("attributes", {})
    origin = getattr(samples, "digest", "")
    if origin and attributes.get("origin") == origin:
        return int(attributes["count"])
    raise ConflictError(
        f"{target} is there with other samples; choose another path or give overwrite=True to replace it"
    )


class _Draft:
    """A training file on its way: arrays with room, and a journal of the samples that are whole."""

    def __init__(self, folder: Path, precision: Precision) -> None:
        self.folder, self.precision = folder, precision
        self.rows: list[dict[str, Any]] = []
        self.arrays: dict[str, Any] = {}
        self.head: dict[str, Any] = {}

    def take(self, samples: Iterable[Sample]) -> None:
        """Write the samples that are not there yet."""
        self.rows = _journal(self.folder / _JOURNAL)
        if not self.rows:
            remove_tree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _JOURNAL).open("a", encoding="utf-8") as journal:
            for index, sample in _missing(samples, len(self.rows)):
                pictures = pictures_of(sample, self.precision)
                row = row_of(sample, sample_digest(sample, pictures))
                if index < len(self.rows):
                    self._compare(index, row)
                else:
                    self._write(index, sample, pictures, row, journal)
        if not self.rows:
            remove_tree(self.folder)
            raise InputError("there are no samples to write; draw some with plan_samples")

    def _compare(self, index: int, row: dict[str, Any]) -> None:
        if self.rows[index]["digest"] != row["digest"]:
            raise ConflictError(
                f"{self.folder} is the rest of a run with other samples (number {index} was "
                f"{self.rows[index]['name']}, now {row['name']}); remove that folder, or choose another path"
            )

    def _write(
        self,
        index: int,
        sample: Sample,
        pictures: dict[str, NDArray[Any]],
        row: dict[str, Any],
        journal: TextIO,
    ) -> None:
        self._open(sample, pictures)
        for name, values in pictures.items():
            self.arrays[name][index] = values
        journal.write(json.dumps(row) + "\n")
        journal.flush()
        self.rows.append(row)

    def _open(self, sample: Sample, pictures: dict[str, NDArray[Any]]) -> None:
        """Make the arrays for the first sample, open them when a run goes on, compare with them later."""
        shapes = {name: [list(values.shape), values.dtype.str] for name, values in pictures.items()}
        head = {"bands": list(sample.bands), "precision": self.precision, "shapes": shapes}
        if not self.head:
            stored = read_json(self.folder / "head.json") if self.rows else None
            if stored is None:
                _make(self.folder, pictures)
                write_json(self.folder / "head.json", head)
            self.head = stored or head
            self.arrays = {name: zarr.open_array(str(self.folder / name), mode="r+") for name in shapes}
        if head != self.head:
            raise InputError(
                f"sample {sample.name} has {_shape(head)}, the first one {_shape(self.head)}; "
                "write samples of one kind to one file"
            )

    def finish(self, target: Path, origin: str) -> None:
        """Cut the arrays to length, write tables and attributes, and give the folder its name."""
        head = self.head or read_json(self.folder / "head.json") or {}
        count = len(self.rows)
        for name, (shape, _) in head["shapes"].items():
            _cut(self.folder / name, (count, *shape))
        for name, values in _tables(self.rows).items():
            remove_tree(self.folder / name)
            _table(self.folder / name, values)
        digest = hashlib.sha256("".join(row["digest"] for row in self.rows).encode()).hexdigest()
        images = head["shapes"]["images"][0]
        attributes = {
            "format": FORMAT,
            "version": VERSION,
            "count": count,
            "bands": head["bands"],
            "previous": images[0] - 1,
            "size": images[-1],
            "precision": head["precision"],
            "digest": digest,
            "origin": origin,
        }
        write_json(self.folder / "zarr.json", group_document(attributes))
        (self.folder / "head.json").unlink(missing_ok=True)
        sync_tree(self.folder)
        remove_tree(target)
        self.folder.rename(target)
        (target / _JOURNAL).unlink(missing_ok=True)


def _missing(samples: Iterable[Sample], done: int) -> Iterator[tuple[int, Sample]]:
    """Count samples through; of a sequence, only the last one written (to compare it) and those after it."""
    if isinstance(samples, Sequence):
        for index in range(max(done - 1, 0), len(samples)):
            yield index, samples[index]
    else:
        yield from enumerate(samples)


def _journal(file: Path) -> list[dict[str, Any]]:
    """Read the samples that are whole, and drop a line that was cut off."""
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return []
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        os.truncate(file, len(whole))
    return [json.loads(line) for line in whole.decode().splitlines()]


def _make(folder: Path, pictures: dict[str, NDArray[Any]]) -> None:
    for name, values in pictures.items():
        remove_tree(folder / name)
        zarr.create_array(
            str(folder / name),
            shape=(_ROOM, *values.shape),
            chunks=(1, *values.shape),
            dtype=values.dtype,
            compressors=codec(),
            dimension_names=_DIMS.get(name, ("sample", "band", "y", "x")[-values.ndim - 1 :]),
            config={"write_empty_chunks": True},
        )


def _cut(folder: Path, shape: tuple[int, ...]) -> None:
    """Set the length of an array; zarr's own resize would look for every piece that was never written."""
    document = read_json(folder / "zarr.json") or {}
    write_json(folder / "zarr.json", {**document, "shape": list(shape)})


def _shape(head: dict[str, Any]) -> str:
    arrays = ", ".join(f"{name} {tuple(shape)}" for name, (shape, _) in sorted(head["shapes"].items()))
    return f"{arrays} of {', '.join(head['bands'])} as {head['precision']}"


def _tables(rows: Sequence[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    kinds: dict[str, Any] = {"time": np.int64, "location": np.float64, "has_ground": np.bool_}
    kinds |= dict.fromkeys(COLUMNS, np.float64)
    tables = {name: np.array([row[name] for row in rows], kind) for name, kind in kinds.items()}
    for name in ("name", "platform", "digest"):
        tables[name] = np.array([row[name] for row in rows], np.dtypes.StringDType())
    for name in NOTES:
        if any(name in row for row in rows):
            tables[name] = np.array([row.get(name, "") for row in rows], np.dtypes.StringDType())
    return tables


def _table(folder: Path, values: NDArray[Any]) -> None:
    array = zarr.create_array(
        str(folder), shape=values.shape, chunks=values.shape, dtype=values.dtype, compressors=codec()
    )
    array[...] = values
