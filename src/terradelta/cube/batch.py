"""Acquisitions on their way into one group: pixels at once, values per time and the commit in batches."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import zarr

from terradelta.cube.content import compare_with_stored, write_blocks
from terradelta.cube.files import remove_tree, sync_tree
from terradelta.cube.schema import SERIES
from terradelta.cube.series import Series, open_series, start_series
from terradelta.errors import ConflictError, CubeError, EmptyError, InputError

if TYPE_CHECKING:
    from terradelta.cube.acquisitions import Acquisition
    from terradelta.cube.store import Header

__all__ = ["Batch", "Outcome"]

Outcome: TypeAlias = Literal["added", "skipped"]

_COMMIT_SECONDS = 2.0

_Key: TypeAlias = tuple[Any, ...]


class Batch:
    """Acquisitions written behind the committed ones of a group, until they are committed together.

    Parameters
    ----------
    header : Header
        The cube, held for writing.
    group : str
        ``sar`` or ``optical``.
    mixed : bool
        Take radar images of another radiometry than those that are there.
    """

    def __init__(self, header: Header, group: str, *, mixed: bool = False) -> None:
        self._header, self._group, self._mixed = header, group, mixed
        self._series = open_series(header, group)
        self._rows: list[dict[str, Any]] = []
        self._lost = 0
        self._since = time.monotonic()
        self._known: dict[_Key, int] = {} if self._series is None else _stored_keys(self._series)
        self._radiometries: set[str] = set() if self._series is None else _radiometries(self._series)

    @property
    def pending(self) -> int:
        """Number of acquisitions that are written but not committed; those of a failed commit stay."""
        return len(self._rows) + self._lost

    def take(self, acquisition: Acquisition) -> Outcome:
        """Write the pixels of an acquisition, unless it is there already.

        Parameters
        ----------
        acquisition : SarAcquisition or OpticalAcquisition
            Of the batch's group.

        Returns
        -------
        {"added", "skipped"}
            What became of it; added ones count from the next commit on.

        Raises
        ------
        ConflictError, InputError
            If it is refused; the others are not touched.
        """
        _require_size(self._header, acquisition)
        if self._series is None:
            self._series = start_series(self._header, self._group, acquisition.bands)
        order = _band_order(self._series, acquisition)
        key = _key(self._group, acquisition.time, acquisition.columns())
        if key in self._known:
            if self._known[key] >= self._series.committed:
                self.commit()
            _require_same(self._series, self._known[key], acquisition, order)
            return "skipped"
        self._require_radiometry(acquisition)
        self._add(self._series, acquisition, order)
        self._radiometries |= {acquisition.columns().get("radiometry", "")} - {""}
        self._known[key] = self._series.committed + len(self._rows) - 1
        if time.monotonic() - self._since > _COMMIT_SECONDS:
            self.commit()
        return "added"

    def _require_radiometry(self, acquisition: Acquisition) -> None:
        new = acquisition.columns().get("radiometry", "")
        if new and self._radiometries and new not in self._radiometries and not self._mixed:
            raise ConflictError(
                f"{_title(acquisition)} is {new}, the cube holds {', '.join(sorted(self._radiometries))}; "
                "put it into a cube of its own, or mix them on purpose with mixed=True"
            )

    def commit(self) -> None:
        """Make what was written part of the cube, in one step."""
        rows, self._rows, self._since = self._rows, [], time.monotonic()
        if self._series is None or not rows:
            return
        try:
            _write_columns(self._series, rows)
            self._series = self._series.commit(len(rows))
        except BaseException:
            self._lost += len(rows)
            with suppress(OSError, CubeError):  # by what the disk tells: the commit itself may be done
                _sweep(open_series(self._header, self._group) or self._series)
            raise

    def _add(self, series: Series, acquisition: Acquisition, order: list[int]) -> None:
        index = series.committed + len(self._rows)
        try:
            if not self._rows:
                _sweep(series)
            self._rows.append(_write_pixels(series, index, acquisition, order))
        except BaseException:
            with suppress(OSError):
                for pixels in series.spec.pixels:
                    remove_tree(series.slot(pixels.name, index))
                if index == 0:
                    remove_tree(series.folder)
            if index == 0:
                self._series = None
            raise


def _write_pixels(series: Series, index: int, acquisition: Acquisition, order: list[int]) -> dict[str, Any]:
    for pixels in series.spec.pixels:
        remove_tree(series.slot(pixels.name, index))
    arrays = {p.name: _grown(series.array(p.name, write=True), index) for p in series.spec.pixels}
    content = write_blocks(arrays, index, acquisition, order)
    if not content.valid:
        raise EmptyError(f"the acquisition {_title(acquisition)} holds no valid pixel; leave it out")
    for name in arrays:
        sync_tree(series.slot(name, index))
    return {
        "time": acquisition.time.astype("int64"),
        **acquisition.columns(),
        "valid_share": content.valid / (acquisition.size.y * acquisition.size.x),
        "digest": content.digest,
    }


def _write_columns(series: Series, rows: list[dict[str, Any]]) -> None:
    start, stop = series.committed, series.committed + len(rows)
    for name in rows[0]:
        array = series.column_array(name)
        kind = object if isinstance(rows[0][name], str) else array.dtype
        _grown(array, stop - 1)[start:stop] = np.array([row[name] for row in rows], dtype=kind)
        _declare(array, stop)
        sync_tree(series.folder / name)
    for pixels in series.spec.pixels:
        _declare(series.array(pixels.name, write=True), stop)


def _grown(array: zarr.Array[Any], index: int) -> zarr.Array[Any]:
    """Give an array as if it already had room for `index`, leaving its description on disk alone."""
    length = max(index + 1, array.shape[0])
    metadata = array.metadata.update_shape((length, *array.shape[1:]))
    return zarr.Array(
        zarr.AsyncArray(metadata=metadata, store_path=array.store_path, config=array.async_array.config)
    )


def _declare(array: zarr.Array[Any], length: int) -> None:
    if array.shape[0] != length:
        array.resize((length, *array.shape[1:]))


def _sweep(series: Series) -> None:
    """Remove what a killed append left behind the committed images."""
    for pixels in series.spec.pixels:
        for slot in (series.folder / pixels.name / "c").glob("*"):
            if slot.name.isdecimal() and int(slot.name) >= series.committed:
                remove_tree(slot)
    for pattern in ("*.partial", "*/*.partial", "*/c/*.partial"):
        for file in series.folder.glob(pattern):
            file.unlink(missing_ok=True)


def _stored_keys(series: Series) -> dict[_Key, int]:
    columns = [series.column(name).tolist() for name in series.spec.identity]
    times = series.column("time").astype("int64").tolist()
    return {key: index for index, key in enumerate(zip(times, *columns, strict=True))}


def _radiometries(series: Series) -> set[str]:
    known = "radiometry" in series.spec.column_names
    return set(series.column("radiometry")) - {""} if known else set()


def _key(group: str, moment: np.datetime64, columns: dict[str, Any]) -> _Key:
    return (int(moment.astype("int64")), *(columns[name] for name in SERIES[group].identity))


def _require_size(header: Header, acquisition: Acquisition) -> None:
    if acquisition.size != header.size:
        got, want = acquisition.size, header.size
        raise InputError(
            f"the acquisition {_title(acquisition)} has {got.y} x {got.x} pixels, "
            f"the cube {want.y} x {want.x}; bring it onto the cube's grid first"
        )


def _band_order(series: Series, acquisition: Acquisition) -> list[int]:
    if sorted(series.bands) != sorted(acquisition.bands):
        raise InputError(
            f"the acquisition {_title(acquisition)} has the bands {', '.join(acquisition.bands)}, "
            f"the cube {', '.join(series.bands)}; give exactly these"
        )
    return [acquisition.bands.index(band) for band in series.bands]


def _title(acquisition: Acquisition) -> str:
    columns = acquisition.columns()
    words = [f"{np.datetime_as_string(acquisition.time, 's')}Z", columns["platform"]]
    if columns.get("relative_orbit"):
        words.append(f"orbit {columns['relative_orbit']}")
    return " ".join(word for word in words if word)


def _require_same(series: Series, index: int, acquisition: Acquisition, order: list[int]) -> None:
    title, values = _title(acquisition), acquisition.columns()
    stored = {name: series.column(name)[index] for name in (*values, "digest")}
    content, differences = compare_with_stored(series, index, acquisition, order)
    if differences:
        raise ConflictError(
            f"{title} is in the cube with other pixels: {differences}; "
            f"stored {stored['source_id']!r} ({stored['digest'][:12]}), "
            f"new {values['source_id']!r} ({content.digest[:12]}); keep one of them"
        )
    free = {"source_id", "estimated", *_estimated(stored), *_estimated(values)}
    for name in values:
        column = series.spec.column(name)
        unknown = column.later and column.fill in (stored[name], values[name])
        if name not in free and not unknown and not _equal(stored[name], values[name]):
            raise ConflictError(
                f"{title} is in the cube with {name} {stored[name]!s}, "
                f"new is {values[name]!s}; keep one of them"
            )


def _estimated(columns: dict[str, Any]) -> list[str]:
    """Name the values that may differ, being estimates."""
    return str(columns.get("estimated", "")).split(",")


def _equal(stored: Any, new: Any) -> bool:
    if isinstance(new, float):
        return bool(np.array_equal(np.float32(stored), np.float32(new), equal_nan=True))
    return bool(stored == new)
