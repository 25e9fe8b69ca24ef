"""Small files replaced in one step, and failures of the disk told in one line."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terradelta.errors import CubeError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["marked_attributes", "read_json", "remove_tree", "storage_errors", "sync_tree", "write_json"]

_REASONS = {
    errno.ENOSPC: "no room left on the disk; free some, then run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some room, then run the same command again",
    errno.EFBIG: "the file would exceed the size allowed to this process; raise the limit (ulimit -f)",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "no permission to write there; choose another folder or change its permissions",
    errno.EPERM: "no permission to write there; choose another folder or change its permissions",
    errno.EIO: "the disk reports a fault; check it before going on",
    errno.EEXIST: "a file of that name is in the way; choose another path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusals to write into one clear line.

    Parameters
    ----------
    path : Path
        What is being written.

    Yields
    ------
    None

    Raises
    ------
    StorageError
        In place of an ``OSError`` about room, permission or the disk itself.
    """
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0)
        if reason is None or not _concerns(error, path):
            raise
        raise StorageError(f"cannot write {error.filename or path}: {reason}") from error


def _concerns(error: OSError, path: Path) -> bool:
    """Tell whether an error is about what is written, not about a source that is read meanwhile."""
    if not isinstance(error.filename, str | os.PathLike):
        return True
    file, path = Path(error.filename).resolve(), path.resolve()
    beside = file.parent == path.parent and file.name.startswith(f".{path.name}")
    return beside or file.is_relative_to(path) or path.is_relative_to(file)


def write_json(file: Path, document: dict[str, Any]) -> None:
    """Replace a JSON file in one step: a reader sees the old one or the new one, whole.

    Parameters
    ----------
    file : Path
        The file.
    document : dict
        What to write.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with draft.open("w", encoding="utf-8") as stream:
            json.dump(document, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync(file.parent)


def read_json(file: Path) -> dict[str, Any] | None:
    """Read a JSON object.

    Parameters
    ----------
    file : Path
        The file.

    Returns
    -------
    dict or None
        None if the file is missing or holds no JSON object.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def marked_attributes(store: Path, mark: str, schema: int) -> dict[str, Any] | None:
    """Read the attributes of a Zarr group that is marked as of one kind.

    Parameters
    ----------
    store : Path
        The group.
    mark : str
        Name of the attribute that holds the schema's number.
    schema : int
        The newest that can be read.

    Returns
    -------
    dict or None
        None if there is no such group.

    Raises
    ------
    CubeError
        It is of a newer schema.
    """
    attributes = (read_json(store / "zarr.json") or {}).get("attributes", {})
    found = attributes.get(mark)
    if not isinstance(found, int):
        return None
    if found > schema:
        raise CubeError(
            f"{store} has schema {found}, this terradelta reads up to {schema}: upgrade terradelta"
        )
    return dict(attributes)


def sync_tree(folder: Path) -> None:
    """Make sure that everything below a folder has reached the disk.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def remove_tree(folder: Path) -> None:
    """Remove a folder with all it holds, if it is there.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    if folder.exists():
        shutil.rmtree(folder)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
