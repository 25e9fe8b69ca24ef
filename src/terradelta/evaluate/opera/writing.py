"""The three files of the experiment, each there as a whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

from terradelta.cube.files import storage_errors
from terradelta.evaluate.calibration import draw_calibration
from terradelta.evaluate.opera.report import OperaReport
from terradelta.evaluate.opera.table import markdown

__all__ = ["write_report"]


def write_report(report: OperaReport, out: Path) -> None:
    """Write ``opera.json``, ``opera.png`` and ``opera.md``, and with networks ``calibration.png``.

    Parameters
    ----------
    report : OperaReport
        From `run`.
    out : pathlib.Path
        Folder; made when missing. Files of an earlier run are replaced, each in one step.

    Raises
    ------
    StorageError
        If the folder or a file cannot be written.
    """
    from terradelta.evaluate.opera.picture import draw

    files = {
        "opera.json": (json.dumps(report.as_dict(), indent=1, ensure_ascii=False) + "\n").encode(),
        "opera.png": draw(report),
        "opera.md": markdown(report).encode(),
    }
    if report.deviations:
        files["calibration.png"] = draw_calibration(
            report.deviations, "Dry targets without discs, despeckled"
        )
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            _replace(out / name, content)


def _replace(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
