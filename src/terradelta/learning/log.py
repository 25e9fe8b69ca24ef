"""A table of a training, one row per epoch, in a file that any program reads."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from terradelta.cube.files import storage_errors
from terradelta.errors import InputError
from terradelta.learning.files import replace_file

__all__ = ["Log", "Row", "read_log"]

Row = dict[str, float]


def read_log(file: Path) -> list[Row]:
    """Read what `Log` wrote.

    Parameters
    ----------
    file : Path
        CSV with a heading.

    Returns
    -------
    list of dict
        A row per epoch; empty if there is no file.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if not file.is_file():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
        return [{name: float(value) for name, value in row.items() if value} for row in rows]
    except (ValueError, TypeError, OSError) as error:
        raise InputError(f"{file} is no log of a training ({error}); remove it and train again") from None


class Log:
    """Rows of epochs, replaced as a whole with each new one.

    Parameters
    ----------
    file : Path
        CSV.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def rows(self) -> list[Row]:
        """What is in the file."""
        return read_log(self._file)

    def add(self, row: Row) -> None:
        """Add an epoch, in place of it and of those after it if a run was resumed from before.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        kept = [each for each in self.rows if each["epoch"] < row["epoch"]]
        names = list(dict.fromkeys(name for each in [*kept, row] for name in each))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _short(value) for name, value in each.items()} for each in [*kept, row])
        with storage_errors(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._file, text.getvalue().encode())


def _short(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
