"""Classifiers in JSON files, checked when read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terradelta.cube.files import storage_errors, write_json
from terradelta.errors import InputError
from terradelta.types import PathType

__all__ = ["read_classifier", "write_classifier"]

_VERSION = 1


def write_classifier(path: PathType, name: str, values: Mapping[str, Any]) -> None:
    """Write a classifier, replaced in one step.

    Parameters
    ----------
    path : path-like
        JSON file; its folder is made when missing.
    name : str
        Which kind of classifier it is.
    values : mapping
        What JSON can hold.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    file = Path(path)
    with storage_errors(file):
        write_json(file, {"format": f"terradelta {name}", "format_version": _VERSION, **values})


def read_classifier(path: PathType, name: str, types: Mapping[str, Any]) -> dict[str, Any]:
    """Read the values of a saved classifier.

    Parameters
    ----------
    path : path-like
        JSON file.
    name : str
        Which kind of classifier it must be.
    types : mapping
        Key to ``float``, ``str``, ``dict``, or ``tuple`` of numbers.

    Returns
    -------
    dict
        The values, of these types.

    Raises
    ------
    InputError
        If nothing is there, it is damaged, of another kind, or of a newer version.
    """
    document = _document(Path(path))
    form = document.get("format")
    if form != f"terradelta {name}":
        raise InputError(f"{path} is no saved {name} (its format is {form!r}); give a file that save wrote")
    if document.get("format_version", 0) > _VERSION:
        raise InputError(f"{path} was written by a newer terradelta; update it")
    try:
        return {key: _value(document[key], kind) for key, kind in types.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}); save the classifier again") from None


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no classifier at {file}; give a JSON file that save wrote") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}); give a JSON file that save wrote") from None
    if not isinstance(document, dict):
        raise InputError(f"{file} holds no classifier; give a JSON file that save wrote")
    return document


def _value(value: Any, kind: Any) -> Any:
    if kind is tuple:
        return tuple(float(one) for one in value)
    if kind is float:
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
