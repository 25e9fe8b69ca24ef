"""Reading and writing settings: every key documented, every misspelt key refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from terradelta.errors import ConfigError

__all__ = ["Bytes", "Settings", "load_settings", "to_yaml"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


SettingsType = TypeVar("SettingsType", bound=Settings)


def parse_bytes(value: Any) -> Any:
    """Read an amount of memory.

    Examples
    --------
    >>> parse_bytes("1.5 GiB"), parse_bytes("500MB")
    (1610612736, 500000000)
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([\d.]+)\s*([kmg]?i?)b?\s*", value.lower())
    if match is None:
        raise ValueError(f"{value!r} is no amount of memory; write for example 2 GiB or 500 MB")
    return int(float(match[1]) * _UNITS[match[2]])


Bytes = Annotated[int, BeforeValidator(parse_bytes)]


def load_settings(
    model: type[SettingsType], file: Path | None = None, given: Mapping[str, Any] | None = None
) -> SettingsType:
    """Build settings from a YAML file and from values given one by one, which go first.

    Parameters
    ----------
    model : type
        The settings' class.
    file : path, optional
        YAML as `to_yaml` writes it.
    given : mapping, optional
        Values by key; nested keys are joined by dots.

    Returns
    -------
    Settings
        Checked.

    Raises
    ------
    ConfigError
        If the file cannot be read, a key is unknown (the nearest is named) or a value is out of range.

    Examples
    --------
    >>> from terradelta.workflows.config import CompareSettings
    >>> load_settings(CompareSettings, given={"first": "a", "second": "b"}).second
    PosixPath('b')
    >>> load_settings(CompareSettings, given={"first": "a", "second": "b", "tolerence": 1})
    Traceback (most recent call last):
    terradelta.errors.ConfigError: unknown key 'tolerence'; did you mean 'tolerance'?
    """
    values = _read(file) if file is not None else {}
    for key, value in (given or {}).items():
        _put(values, key, value)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        origin = f"{file}: " if file is not None else ""
        raise ConfigError(origin + _explain(model, error)) from None


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {file}; `terradelta config VERB` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no valid YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds {type(values).__name__}; expected keys and values")
    return values


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"key {key!r} goes through {parent!r}, which holds {inner!r}")
        values = inner
    values[last] = value


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        near = get_close_matches(path[-1], _keys_at(model, path[:-1]), n=1, cutoff=0.5)
        cure = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_keys_at(model, path[:-1]))}"
        return f"unknown key {key!r}; {cure}"
    if first["type"] == "missing":
        return f"key {key!r} is missing; {_description(model, path)}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return f"{key} is {first['input']!r}: {message}" if key else message


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        inner = field.annotation if field is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _description(model: type[BaseModel], path: list[str]) -> str:
    field = model.model_fields.get(path[0])
    return (field.description or "give it") if field is not None else "give it"


def to_yaml(model: type[Settings]) -> str:
    """Write every key with its default, and its meaning and limits as a comment.

    Parameters
    ----------
    model : type
        The settings' class.

    Returns
    -------
    str
        YAML; keys without a default are commented out.

    Examples
    --------
    >>> from terradelta.workflows.config import CompareSettings
    >>> to_yaml(CompareSettings).splitlines()[-1]
    'tolerance: 1.0e-06'
    """
    return "\n".join(_lines(model, "")) + "\n"


def _lines(model: type[BaseModel], indent: str) -> Iterator[str]:
    import yaml

    for name, field in model.model_fields.items():
        yield ""
        yield f"{indent}# {field.description} {_limits(field)}".rstrip()
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield f"{indent}{name}:"
            yield from _lines(inner, indent + "  ")
        elif field.is_required():
            yield f"{indent}# {name}: (required)"
        else:
            default = field.get_default(call_default_factory=True)  # type: ignore[call-arg]
            plain = str(default) if isinstance(default, Path) else default
            text = yaml.safe_dump({name: plain}, default_flow_style=False, sort_keys=False).strip()
            yield indent + text


def _limits(field: FieldInfo) -> str:
    signs = {"Ge": ">=", "Gt": ">", "Le": "<=", "Lt": "<"}
    parts = [
        f"{sign} {getattr(item, kind.lower())}"
        for item in field.metadata
        for kind, sign in signs.items()
        if type(item).__name__ == kind
    ]
    options = getattr(field.annotation, "__args__", ()) if "Literal" in str(field.annotation) else ()
    if options:
        parts.append("one of " + ", ".join(str(option) for option in options))
    return f"({'; '.join(parts)})" if parts else ""
