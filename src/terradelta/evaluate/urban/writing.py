"""Tables, figures and pictures, each there as a whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from terradelta.products.files import publish, staging, storing
from terradelta.types import PathType

__all__ = ["as_json", "table", "write_files"]


def write_files(out: PathType, files: Mapping[str, bytes]) -> None:
    """Write files into a folder; each is replaced in one step.

    Parameters
    ----------
    out : path
        Folder; made when missing.
    files : mapping of str to bytes
        Name and content.

    Raises
    ------
    StorageError
        If the folder or a file cannot be written.
    """
    folder = Path(out)
    with staging(folder) as stage, storing(folder):
        for name, content in files.items():
            (stage / name).write_bytes(content)
        for name in files:
            publish(stage / name, folder / name)


def as_json(figures: Any) -> bytes:
    """Give figures as a JSON file."""
    return (json.dumps(figures, indent=1, ensure_ascii=False) + "\n").encode()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Make a Markdown table.

    Examples
    --------
    >>> print(table(["city", "AUC"], [["Rennes", "0.8"]]))
    | city | AUC |
    | --- | --- |
    | Rennes | 0.8 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
