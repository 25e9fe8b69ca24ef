"""Options of a verb, made from its settings: one source for keys, defaults and help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from terradelta.errors import ConfigError
from terradelta.workflows.config import Settings, Written, fields_of, load_settings

__all__ = ["add_verb"]

SettingsType = TypeVar("SettingsType", bound=Settings)


def add_verb(
    app: typer.Typer,
    name: str,
    model: type[SettingsType],
    action: Callable[[SettingsType], None],
    *,
    positional: tuple[str, ...] = (),
    config_first: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> None:
    """Add a verb whose arguments and options are the fields of its settings.

    Every verb also takes ``--config FILE``; with nested settings ``--set KEY=VALUE`` reaches these. Options
    win over ``--set``, and both over the file.

    Parameters
    ----------
    app : Typer
        Where to add it.
    name : str
        Of the verb.
    model : type
        Its settings; the class's docstring is the verb's help.
    action : callable
        Takes the checked settings.
    positional : tuple of str
        Fields that are arguments rather than options.
    config_first : bool
        Whether the file is the verb's argument, ``CONFIG``, rather than an option.
    aliases : mapping of str to str
        Options, joined by a slash, by which an argument can be given too.
    """

    def command(**given: Any) -> None:
        file, pairs = given.pop("config"), given.pop("set_", None)
        for key in others:
            given[key] = _only_one(given.pop(f"{key}_"), given[key], key)
        values = dict(_pair(pair) for pair in pairs or [])
        values |= {
            key: _joined(value, fields[key]) for key, value in given.items() if value not in (None, [])
        }
        action(load_settings(model, file, values))

    fields, others = fields_of(model), dict(aliases or {})
    parameters = [_argument(key, fields[key]) for key in positional]
    parameters += [_option(key, field) for key, field in fields.items()
                   if key not in positional and not _is_nested(field)]  # fmt: skip
    for key, flags in others.items():
        info = typer.Option(*flags.split("/"), help=f"The same as {key.upper()}.", show_default=False)
        parameters.append(_positional(f"{key}_", Annotated[Path | None, info]))
    if config_first:
        text = f"YAML with these settings; `terradelta config {name}` writes one."
        info = typer.Argument(help=text, show_default=False, metavar="CONFIG")
        parameters.insert(0, _positional("config", Annotated[Path | None, info]))
    else:
        parameters.append(_parameter("config", Path | None, "--config", "YAML with these settings."))
    if any(_is_nested(field) for field in fields.values()):
        nested = next(key for key, field in fields.items() if _is_nested(field))
        text = f"A nested setting, e.g. --set {nested}.KEY=VALUE; `terradelta config {name}` lists all."
        parameters.append(_parameter("set_", list[str] | None, "--set", text, metavar="<key=value>"))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    app.command(name, help=model.__doc__)(command)


def _only_one(option: Any, argument: Any, key: str) -> Any:
    if option is not None and argument is not None:
        raise ConfigError(f"{key} is given twice, as {argument} and as {option}; leave one out")
    return argument if option is None else option


def _joined(value: Any, field: FieldInfo) -> Any:
    """Take an option that was repeated as one list, each time with commas or without."""
    return (";" if ";" in (_form(field) or "") else ",").join(value) if isinstance(value, list) else value


def _form(field: FieldInfo) -> str | None:
    return next((item.form for item in field.metadata if isinstance(item, Written)), None)


def _pair(text: str) -> tuple[str, Any]:
    import yaml

    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r} has no '='; write KEY=VALUE")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {text!r}: {value!r} is no valid YAML; put it in quotes") from None


def _argument(key: str, field: FieldInfo) -> inspect.Parameter:
    # optional here, so that a file may give it; the settings themselves insist on it
    info = typer.Argument(help=field.description, show_default=False, metavar=key.upper())
    return _positional(key, Annotated[Path | None, info])


def _option(key: str, field: FieldInfo) -> inspect.Parameter:
    flag = f"--{key.replace('_', '-')}"
    default = field.get_default(call_default_factory=True)
    silent = field.is_required() or isinstance(default, bool) or default in (None, [], "")
    more = " (required)" if field.is_required() else "" if silent else f" [default: {default}]"
    kind = _base(field)
    form = _form(field)
    if kind in (int, float):  # read by the settings themselves, which name the value
        form = form or f"<{kind.__name__}>"
    told = list[str] if get_origin(kind) is list else str if form else kind
    return _parameter(key, told | None, flag, f"{field.description}{more}", metavar=form)


def _parameter(key: str, kind: Any, flag: str, text: str, **more: Any) -> inspect.Parameter:
    return _positional(key, Annotated[kind, typer.Option(flag, help=text, show_default=False, **more)])


def _positional(key: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _is_nested(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _base(field: FieldInfo) -> Any:
    """Type without Annotated and without None."""
    kind = field.annotation
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Union or type(kind).__name__ == "UnionType":
        kind = next(part for part in get_args(kind) if part is not type(None))
    return kind
