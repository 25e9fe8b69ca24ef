"""The three files of the experiment, each there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

from terradelta.evaluate.peers.report import PeersReport
from terradelta.evaluate.peers.table import markdown
from terradelta.evaluate.urban.writing import as_json, write_files

__all__ = ["write_report"]


def write_report(report: PeersReport, out: Path) -> str:
    """Write ``peers.md``, ``peers.json`` and ``peers.png``.

    Parameters
    ----------
    report : PeersReport
        From `run`.
    out : pathlib.Path
        Folder; made when missing.

    Returns
    -------
    str
        The Markdown.

    Raises
    ------
    StorageError
        If the folder or a file cannot be written.
    """
    from terradelta.evaluate.peers.picture import draw

    text = markdown(report)
    write_files(
        out,
        {"peers.md": text.encode(), "peers.json": as_json(report.as_dict()), "peers.png": draw(report)},
    )
    return text
