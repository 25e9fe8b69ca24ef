"""Reading and writing settings: every key documented, every misspelt key refused by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from terradelta.errors import ConfigError

__all__ = [
    "Bounds",
    "Bytes",
    "Date",
    "DateOrLast",
    "Names",
    "Numbers",
    "Scheduler",
    "Settings",
    "Written",
    "fields_of",
    "load_settings",
    "to_yaml",
]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_LONGEST = 60


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, values: Any) -> Any:
        """Take a section whose keys were all deleted as one of defaults; YAML reads it as null."""
        if not isinstance(values, dict):
            return values
        sections = {name for name, field in cls.model_fields.items() if _section(field) is not None}
        return {name: value for name, value in values.items() if value is not None or name not in sections}


SettingsType = TypeVar("SettingsType", bound=Settings)


def parse_bytes(value: Any) -> Any:
    """Read an amount of memory.

    Parameters
    ----------
    value : str or int
        Number with a unit, or bytes.

    Returns
    -------
    int
        Bytes.

    Raises
    ------
    ValueError
        If the text is no amount of memory.

    Examples
    --------
    >>> parse_bytes("1.5 GiB"), parse_bytes("500MB")
    (1610612736, 500000000)
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*((?:[kmgt]i?)?)b?", value.strip().lower())
    if match is None:
        raise ValueError("no amount of memory; write for example 2 GiB or 500 MB")
    return int(float(match[1]) * _UNITS[match[2]])


def split_list(value: Any) -> Any:
    """Take a list, one value, or a text with commas.

    Examples
    --------
    >>> split_list("88, 37"), split_list(88), split_list([88, 37])
    (['88', '37'], [88], [88, 37])
    """
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int | float) else value


def _check_bounds(bounds: list[float]) -> list[float]:
    if bounds and not (len(bounds) == 4 and bounds[0] < bounds[2] and bounds[1] < bounds[3]):
        raise ValueError("give west,south,east,north, each pair in rising order")
    return bounds


def parse_date(value: Any) -> Any:
    """Read a date; YAML turns bare dates into objects of its own.

    Parameters
    ----------
    value : str or date
        ISO 8601; a time of day is left out.

    Returns
    -------
    str
        Such as ``2024-07-06``.

    Raises
    ------
    ValueError
        If the text is no date.

    Examples
    --------
    >>> parse_date("20240706"), parse_date(date(2024, 7, 6))
    ('2024-07-06', '2024-07-06')
    """
    if isinstance(value, date):
        return value.isoformat()[:10]
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value).date().isoformat()
    except ValueError:
        raise ValueError("no date; write for example 2024-07-06") from None


def _parse_date_or_last(value: Any) -> Any:
    return value if value == "last" else parse_date(value)


@dataclass(frozen=True)
class Written:
    """How the command line shows that a value is written."""

    form: str


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Give the fields of settings: their own before those that they share with others.

    Examples
    --------
    >>> from terradelta.workflows.config import UpdateSettings
    >>> list(fields_of(UpdateSettings))
    ['cube', 'until', 'dry_run', 'parallel', 'memory', 'scheduler']
    """
    names = dict.fromkeys(name for kind in model.__mro__ for name in vars(kind).get("__annotations__", ()))
    return {name: model.model_fields[name] for name in names if name in model.model_fields}


Bytes = Annotated[int, BeforeValidator(parse_bytes), Written("<size>")]
Bounds = Annotated[
    list[float], BeforeValidator(split_list), AfterValidator(_check_bounds), Written("<w,s,e,n>")
]
Date = Annotated[str | None, BeforeValidator(parse_date), Written("<date>")]
DateOrLast = Annotated[str | None, BeforeValidator(_parse_date_or_last), Written("<date>")]
Names = Annotated[list[str], BeforeValidator(split_list), Written("<name,name,...>")]
Numbers = Annotated[list[int], BeforeValidator(split_list), Written("<n,n,...>")]
Scheduler = Annotated[
    str | None,
    Field(
        description="Address of a dask scheduler whose workers compute, such as tcp://10.0.0.1:8786; empty: "
        "this machine."
    ),
    Written("<address>"),
]


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
        meant = ".".join([*path[:-1], *near])
        cure = f"did you mean {meant!r}?" if near else f"known are {', '.join(_keys_at(model, path[:-1]))}"
        return f"unknown key {key!r}; {cure}"
    if first["type"] == "missing":
        return f"no value for {key!r} ({_description(model, path)}); give one"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if not key:
        return message
    if isinstance(first["input"], dict):
        return f"{key}: {message}"
    return f"{key} is {_short(first['input'])}: {message}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        inner = _section(field) if field is not None else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """Give the model of a field that holds settings of its own."""
    inner = field.annotation
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _description(model: type[BaseModel], path: list[str]) -> str:
    text = model.model_fields[path[0]].description or path[0]
    return text[:1].lower() + text[1:].rstrip(".")


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

    for name, field in fields_of(model).items():
        yield ""
        yield f"{indent}# {field.description} {_limits(field)}".rstrip()
        inner = _section(field)
        if inner is not None:
            yield f"{indent}{name}:"
            yield from _lines(inner, indent + "  ")
        elif field.is_required():
            yield f"{indent}# {name}: (required)"
        else:
            default = field.get_default(call_default_factory=True)
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
    options = _options(field.annotation)
    if options:
        parts.append("one of " + ", ".join(options))
    return f"({'; '.join(parts)})" if parts else ""


def _options(annotation: Any) -> list[str]:
    """Give the words that a value may be; none if it may be another thing as well."""
    if get_origin(annotation) is Literal:
        return [str(option) for option in get_args(annotation)]
    inner = [part for part in get_args(annotation) if part is not type(None)]
    return _options(inner[0]) if len(inner) == 1 and get_origin(annotation) in (Union, UnionType) else []
