"""The folder of a training: what it was told, what it was given, and all that it leaves."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from terradelta import __version__
from terradelta.cube.files import read_json, remove_tree, storage_errors, write_json
from terradelta.cube.locking import exclusive
from terradelta.errors import ConflictError, InputError
from terradelta.learning.files import replace_file
from terradelta.types import PathType

__all__ = ["Run"]

_PACKAGES = ("torch", "lightning", "numpy", "safetensors")
_PARTS = ("config.yaml", "provenance.json", "log.csv", "tensorboard", "checkpoints", "model", "losses.png",
          "statistics.json", "plan-*.json")  # fmt: skip
_FREE = frozenset({"workers", "overwrite", "save_minutes", "run", "memory"})


class Run:
    """A folder with ``config.yaml``, ``provenance.json``, ``log.csv``, ``tensorboard/``, ``checkpoints/``,
    ``model/`` and ``losses.png``.

    Parameters
    ----------
    folder : path-like
        Need not be there yet.
    """  # noqa: D205

    def __init__(self, folder: PathType) -> None:
        self.folder = Path(folder)
        self.config = self.folder / "config.yaml"
        self.provenance = self.folder / "provenance.json"
        self.log = self.folder / "log.csv"
        self.checkpoints = self.folder / "checkpoints"
        self.model = self.folder / "model"
        self.plot = self.folder / "losses.png"

    def begin(
        self,
        settings: Mapping[str, Any],
        data: Mapping[str, Any],
        *,
        seed: int,
        overwrite: bool = False,
        defaults: Mapping[str, Any] | None = None,
    ) -> bool:
        """Make the folder, or see that what is there was begun with the same settings and data.

        Parameters
        ----------
        settings : mapping
            Plain values; nested ones too. Those that cannot change the result may differ.
        data : mapping
            What tells the data from others, for example a digest.
        seed : int
            For the record.
        overwrite : bool
            Remove a run of other settings or data.
        defaults : mapping, optional
            Values, nested like the settings, that a run had which was begun before their keys were known.

        Returns
        -------
        bool
            Whether it was begun before.

        Raises
        ------
        ConflictError
            It was begun with other settings or data; names what differs.
        InputError
            The folder holds something else.
        StorageError
            It cannot be written.
        """
        with storage_errors(self.folder):
            own = overwrite and self._clear()
            if self.config.is_file():
                self._require_same(settings, data, defaults or {})
                return True
            if not own and self._holds_files():
                raise InputError(f"{self.folder} holds files that are no run; choose another folder")
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.provenance, _provenance(data, seed))
            text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
            replace_file(self.config, text.encode())
        return False

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was told.

        Raises
        ------
        InputError
            There is no run, or its file is damaged.
        """
        try:
            found = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            found = None
        if not isinstance(found, dict):
            raise InputError(
                f"{self.folder} is no run folder: no readable {self.config.name}; choose another"
            )
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training into the same folder.

        Raises
        ------
        LockedError
            One of them does already.
        StorageError
            No lock can be made there.
        """
        with storage_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder, timeout=1):
            yield

    def _holds_files(self) -> bool:
        return self.folder.is_dir() and any(not path.name.startswith(".") for path in self.folder.iterdir())

    def _clear(self) -> bool:
        """Remove a run, and nothing that is not of one; tell whether there was one."""
        if not self.config.is_file():
            return False
        self.config.unlink()
        for path in [path for name in _PARTS for path in self.folder.glob(name)]:
            if path.is_dir():
                remove_tree(path)
            else:
                path.unlink(missing_ok=True)
        return True

    def _require_same(
        self, settings: Mapping[str, Any], data: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> None:
        here = dict(_flat(settings))
        there = {name: value for name, value in _flat(defaults) if name in here} | dict(_flat(self.settings))
        differing = [name for name in [*here, *(there.keys() - here.keys())]
                     if name.split(".")[-1] not in _FREE and there.get(name) != here.get(name)]  # fmt: skip
        if differing:
            name = differing[0]
            more = f" (and in {', '.join(differing[1:4])})" if len(differing) > 1 else ""
            raise ConflictError(
                f"{self.folder} was begun with other settings: {name} is {there.get(name)!r} there and "
                f"{here.get(name)!r} here{more}; choose another folder, or replace it with --overwrite"
            )
        known = (read_json(self.provenance) or {}).get("data", {})
        changed = [name for name in data if known.get(name) != data[name]]
        if changed:
            name = changed[0]
            raise ConflictError(
                f"{self.folder} was begun with other data ({name} is {known.get(name)!r} there and "
                f"{data[name]!r} here); choose another folder, or replace it with --overwrite"
            )


def _flat(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", list(value) if isinstance(value, tuple) else value


def _provenance(data: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {
        "terradelta": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "git_commit": _commit(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": seed,
        "data": dict(data),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Tell the commit of the program, and whether files were changed since; None outside a checkout."""
    home = Path(__file__).resolve().parent
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            asked, cwd=home, env=environment, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
