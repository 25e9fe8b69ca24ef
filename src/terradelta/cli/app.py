"""All verbs together, and how errors leave the program."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from terradelta.cli import (
    compare,
    config,
    cube,
    database,
    demo,
    detect,
    doctor,
    evaluate,
    export,
    label,
    monitor,
    predict,
    pretrain,
    simulate,
    train,
    transfer,
)
from terradelta.cli.options import add_verb
from terradelta.errors import TerradeltaError
from terradelta.workflows import config as settings

__all__ = ["app", "main"]

INTERRUPTED = 130

app = typer.Typer(
    name="terradelta",
    help="Satellite time series of a place into maps of what really changed, when, and how sure that is.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
cubes = typer.Typer(help="Make, fill and look at cubes.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(cubes, name="cube")
simulated = typer.Typer(
    help="Make places whose changes are known, and put changes into images.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(simulated, name="simulate")
databases = typer.Typer(
    help="Keep cubes and land cover in PostGIS.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(databases, name="database")

add_verb(app, "demo", settings.DemoSettings, demo.run)
add_verb(
    cubes,
    "build",
    settings.BuildSettings,
    cube.build,
    positional=("place", "cube"),
    aliases={"cube": "-o/--out"},
)
add_verb(cubes, "update", settings.UpdateSettings, cube.update, positional=("cube",))
add_verb(cubes, "import", settings.ImportSettings, cube.add, positional=("cube", "source"))
add_verb(cubes, "info", settings.InfoSettings, cube.info, positional=("cube",))
add_verb(simulated, "place", settings.SimulatePlaceSettings, simulate.place, positional=("out",))
add_verb(simulated, "change", settings.SimulateChangeSettings, simulate.change, positional=("source", "out"))
add_verb(databases, "create", settings.DatabaseCreateSettings, database.create)
add_verb(databases, "load", settings.DatabaseLoadSettings, database.load, positional=("cube",))
add_verb(databases, "land", settings.DatabaseLandSettings, database.land, positional=("file",))
add_verb(databases, "export", settings.DatabaseExportSettings, database.export, positional=("cube",))
add_verb(databases, "check", settings.DatabaseCheckSettings, database.check)
add_verb(app, "detect", settings.DetectSettings, detect.run, positional=("cube", "out"))
add_verb(app, "label", settings.LabelSettings, label.run, positional=("cube", "out"))
add_verb(app, "pretrain", settings.PretrainSettings, pretrain.run, config_first=True)
add_verb(app, "transfer", settings.TransferSettings, transfer.run, config_first=True)
add_verb(app, "monitor", settings.MonitorSettings, monitor.run, positional=("cube", "out"))
add_verb(app, "train", settings.TrainSettings, train.run, config_first=True)
add_verb(app, "predict", settings.PredictSettings, predict.run, positional=("run", "cube"))
add_verb(app, "evaluate", settings.EvaluateSettings, evaluate.run)
add_verb(app, "export", settings.ExportSettings, export.run, positional=("source", "target"))
add_verb(app, "compare", settings.CompareSettings, compare.run, positional=("first", "second"))
app.command("config")(config.config)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def _top(
    version: bool = typer.Option(False, "--version", help="Show the version and stop."),
    debug: bool = typer.Option(False, "--debug", help="Show where in the program an error arose."),
) -> None:
    if version:
        from terradelta import __version__

        typer.echo(f"terradelta {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0: done; 1: a difference was found, or something failed; 2: bad input; 130: interrupted.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    _listen(debug=debug)
    sys.exit(_run([one for one in given if one != "--debug"], debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="terradelta", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt  # the library takes Ctrl-C for itself and is silent about it
        return int(code or 0)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted; the same command goes on where it stopped", INTERRUPTED)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "terradelta"
        return _say(f"{_one_line(error)}; see `{where} --help`", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except TerradeltaError as error:
        if debug:
            traceback.print_exc()
        return _say(" ".join(str(error).split()), error.exit_code)
    except OSError as error:
        if debug:
            traceback.print_exc()
        where, reason = error.filename or "a file", error.strerror or type(error).__name__
        return _say(
            f"cannot read or write {where}: {reason}; check the path, its rights and the room there", 2
        )
    except Exception as error:
        if debug:
            raise
        text = " ".join(str(error).split())
        return _say(f"unexpected {type(error).__name__}: {text} (--debug shows where)", 1)


class _Notes(logging.Handler):
    """Shows what the program wants known as a line on stderr, the same line once."""

    def __init__(self) -> None:
        super().__init__()
        self._shown = set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self._shown:
            self._shown.add(line)
            typer.echo(f"note: {line}", err=True)


def _listen(*, debug: bool) -> None:
    """Show notes of this program, and those of the libraries only with ``--debug``."""
    own, others = logging.getLogger("terradelta"), logging.getLogger()
    own.handlers, own.propagate = [_Notes()], False
    if debug:
        logging.basicConfig()
    elif not others.handlers:
        others.addHandler(logging.NullHandler())


def _one_line(error: typer.TyperException) -> str:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(str(text).split()).rstrip(".")


def _say(message: str, code: int) -> int:
    typer.echo(f"terradelta: {message}", err=True)
    return code
