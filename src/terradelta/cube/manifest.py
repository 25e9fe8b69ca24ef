"""What a cube was asked to hold, what came, what did not and why: kept in the cube, replaced in one step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from terradelta.cube.files import marked_attributes, storage_errors, write_json
from terradelta.cube.store import group_document, read_header
from terradelta.errors import CubeError
from terradelta.types import PathType

__all__ = ["Entry", "Manifest", "Outcome"]

Outcome: TypeAlias = Literal["added", "empty", "failed"]

_FOLDER, _MARK, _SCHEMA = "manifest", "terradelta_manifest", 1
_SAVE_SECONDS = 2.0


@dataclass(frozen=True)
class Entry:
    """What became of one acquisition or layer.

    Attributes
    ----------
    key : str
        Its name at its source, for good.
    outcome : {"added", "empty", "failed"}
        In the cube; without a valid pixel there; not to be had.
    group : str
        ``sar``, ``optical``, ``static`` or ``weather``.
    time : str
        Start of the acquisition, ISO 8601, UTC; empty for layers.
    source_id : str
        Name of the product.
    why : str
        For failures: the reason.
    nbytes : int
        Bytes transferred, as far as they could be told.
    seconds : float
        How long it took.
    facts : mapping of str to str
        How the pixels were harmonised.
    when : str
        When it was noted, ISO 8601, UTC.
    """

    key: str
    outcome: Outcome
    group: str
    time: str = ""
    source_id: str = ""
    why: str = ""
    nbytes: int = 0
    seconds: float = 0.0
    facts: Mapping[str, str] = field(default_factory=dict)
    when: str = field(default_factory=lambda: _now())


class Manifest:
    """The manifest of one cube: its requests, and one entry for each acquisition they brought up.

    It lies in the cube as the attributes of a Zarr group without arrays, so that any reader of Zarr shows it.

    Parameters
    ----------
    path : path
        The cube.

    Raises
    ------
    CubeError
        There is no cube, or its manifest is damaged or of a newer schema.

    Examples
    --------
    >>> import tempfile
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import create_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> manifest = Manifest(folder)
    >>> manifest.record(Entry("opera/S1A/88/2020-01-01", "added", "sar"))
    >>> manifest.save()
    >>> Manifest(folder).counts()
    {'added': 1}
    """

    def __init__(self, path: PathType) -> None:
        self.path = read_header(Path(path)).path
        file = self.path / _FOLDER / "zarr.json"
        stored = marked_attributes(file.parent, _MARK, _SCHEMA)
        try:
            if stored is None and file.exists():
                raise ValueError("not what was written")
            known = stored or {"requests": [], "entries": {}}
            self.requests = [{**one, "asked": {**one["asked"]}} for one in known["requests"]]
            self.entries = {key: Entry(key, **one) for key, one in known["entries"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CubeError(
                f"{file} is damaged ({error!r}); restore it from a copy, or remove it and give the build "
                "command again, which finds out what the cube holds"
            ) from None
        self._saved = time.monotonic()
        self._changed = False

    def ask(self, asked: Mapping[str, Any], empty: Sequence[str] = ()) -> None:
        """Note what was asked; the same again only renews the date.

        Parameters
        ----------
        asked : mapping
            The request in plain values, without credentials; its period is ``time``.
        empty : sequence of str
            Parts of the period that hold nothing, for :meth:`closed`.
        """
        empty = sorted(self.closed(asked).union(empty))
        now = _now()
        same = next((one for one in self.requests if one["asked"] == dict(asked)), None)
        if same is None:
            same = {"asked": dict(asked), "first": now}
        else:
            self.requests.remove(same)
        self.requests.append(same | {"last": now} | ({"empty": empty} if empty else {}))
        self._changed = True

    def closed(self, asked: Mapping[str, Any]) -> frozenset[str]:
        """Tell which parts of the period hold nothing, by earlier searches for the same but for the time."""
        same = [one for one in self.requests if _timeless(one["asked"]) == _timeless(asked)]
        return frozenset(key for one in same for key in one.get("empty", ()))

    @property
    def last_request(self) -> dict[str, Any] | None:
        """What was asked last, None if nothing was."""
        return dict(self.requests[-1]["asked"]) if self.requests else None

    @property
    def standing(self) -> list[dict[str, Any]]:
        """What was asked last of each kind: of requests that differ in the time alone, the last one."""
        found: list[dict[str, Any]] = []
        for one in reversed(self.requests):
            if _timeless(one["asked"]) not in map(_timeless, found):
                found.append(dict(one["asked"]))
        return found[::-1]

    def settled(self, key: str, source_id: str = "") -> bool:
        """Whether an acquisition need not be asked for again: it is there, or shows nothing.

        What showed nothing is asked for again once its source names other products for it: more tiles of the
        pass, or newer ones.
        """
        entry = self.entries.get(key)
        if entry is None or entry.outcome == "failed":
            return False
        return entry.outcome == "added" or source_id in ("", entry.source_id)

    def record(self, *entries: Entry) -> None:
        """Note what became of acquisitions; see :meth:`save`."""
        for entry in entries:
            self.entries[entry.key] = entry
        self._changed = self._changed or bool(entries)

    def counts(self) -> dict[str, int]:
        """Count the entries by outcome."""
        return dict(Counter(entry.outcome for entry in self.entries.values()))

    def save(self, *, lazily: bool = False) -> None:
        """Write the manifest in one step, if it changed.

        Parameters
        ----------
        lazily : bool
            Not more often than every two seconds; what a killed run did not write is found out again.

        Raises
        ------
        StorageError
            The disk refuses.
        """
        if not self._changed or (lazily and time.monotonic() - self._saved < _SAVE_SECONDS):
            return
        entries = {key: _plain(entry) for key, entry in self.entries.items()}
        document = {_MARK: _SCHEMA, "requests": self.requests, "entries": entries}
        with storage_errors(self.path):
            write_json(self.path / _FOLDER / "zarr.json", group_document(document))
        self._saved, self._changed = time.monotonic(), False


def _timeless(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name != "time"}


def _plain(entry: Entry) -> dict[str, Any]:
    """Give an entry without its key and without what is empty."""
    return {
        name: value for name, value in asdict(entry).items() if name != "key" and value not in ("", 0, {})
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
