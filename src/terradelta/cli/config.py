"""`terradelta config`."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["config"]


def config(
    verb: Annotated[list[str], typer.Argument(help="Verb, e.g. detect or cube build.", metavar="VERB")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write; without it: to the screen.")
    ] = None,
) -> None:
    """Write a verb's settings, with their meaning, as YAML."""
    from terradelta.errors import ConfigError, StorageError
    from terradelta.workflows.config import SETTINGS, to_yaml

    known = {name.replace("-", " "): model for name, model in SETTINGS.items()}
    name = " ".join(verb).replace("-", " ")
    if name not in known:
        near = get_close_matches(name, known, n=1)
        cure = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"there are no settings for {name!r}; {cure}")
    text = f"# Settings of `terradelta {name}`, to be used with --config\n{to_yaml(known[name])}"
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.exists():
        raise ConfigError(f"{out} exists already; choose another name or remove it")
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror}; choose another folder") from None
    typer.echo(f"{out}")
