"""How trainings went: losses by epoch, of one run or of many, and the table beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from terradelta.errors import InputError
from terradelta.products.files import whole_file

__all__ = ["Curve", "compare_curves", "draw_losses"]

_INK, _LINE = "#22282d", "#d9dee1"
_CURVES = ("#22282d", "#c43c00", "#1b6ca8", "#2e8b57", "#8e44ad", "#b8860b", "#d6619e", "#17a2b8")

Row = Mapping[str, float]


class Curve(NamedTuple):
    """The best of a run.

    Attributes
    ----------
    name : str
        Of the run.
    epochs, best_epoch : int
        Trained, and the one with the least validation loss.
    best_loss : float
        That loss.
    rmse_db : float or None
        Root mean square error of that epoch, dB.
    """

    name: str
    epochs: int
    best_epoch: int
    best_loss: float
    rmse_db: float | None


def draw_losses(rows: Sequence[Row], file: Path, *, title: str = "") -> None:
    """Draw the losses of training and validation by epoch.

    Parameters
    ----------
    rows : sequence of mapping
        A row per epoch, with ``epoch``, ``train_loss`` and ``val_loss``.
    file : Path
        Picture to write.
    title : str
        Above it.

    Raises
    ------
    InputError
        There is no epoch.
    """
    if not rows:
        raise InputError("there is no epoch to draw; train first")
    figure, axes = _axes(title)
    for name, label, colour in (
        ("train_loss", "training", _CURVES[2]),
        ("val_loss", "validation", _CURVES[1]),
    ):
        axes.plot(
            *_column(rows, name), color=colour, label=label, marker="o" if len(rows) < 20 else None, ms=3
        )
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    _save(figure, file)


def compare_curves(runs: Mapping[str, Sequence[Row]], folder: Path, *, name: str = "ablations") -> str:
    """Draw the validation losses of many runs in one plot, and write their table.

    Parameters
    ----------
    runs : mapping
        Rows of each run by name; the first one is drawn thick, as the one that others are compared with.
    folder : Path
        For the picture (``.png``), the table (``.md``) and the figures (``.json``).
    name : str
        Of these files.

    Returns
    -------
    str
        The table, Markdown.

    Raises
    ------
    InputError
        A run has no epoch.
    """
    curves = [_best(run, rows) for run, rows in runs.items()]
    figure, axes = _axes("Validation loss")
    for number, (run, rows) in enumerate(runs.items()):
        first = number == 0
        style = "-" if number < len(_CURVES) else "--"
        colour = _CURVES[number % len(_CURVES)]
        axes.plot(
            *_column(rows, "val_loss"),
            style,
            color=colour,
            lw=2.4 if first else 1.2,
            label=run,
            marker="o" if len(rows) < 20 else None,
            ms=3,
            zorder=3 if first else 2,
        )
    axes.set_ylabel("validation loss")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    folder.mkdir(parents=True, exist_ok=True)
    _save(figure, folder / f"{name}.png")
    table = _table(curves)
    document = {
        "runs": [
            {**curve._asdict(), "val_loss": _column(runs[curve.name], "val_loss")[1]} for curve in curves
        ]
    }
    for ending, text in (("md", table), ("json", json.dumps(document, indent=1))):
        with whole_file(folder / f"{name}.{ending}") as draft:
            draft.write_text(text + "\n", encoding="utf-8")
    return table


def _best(name: str, rows: Sequence[Row]) -> Curve:
    if not rows:
        raise InputError(f"the run {name} has no finished epoch; train it first")
    best = min(rows, key=lambda row: row["val_loss"])
    return Curve(name, int(rows[-1]["epoch"]), int(best["epoch"]), best["val_loss"], best.get("val_rmse_db"))


def _table(curves: Sequence[Curve]) -> str:
    first, has_error = curves[0].best_loss, any(curve.rmse_db is not None for curve in curves)
    head = ["run", "epochs", "best epoch", "validation loss", "against the first"]
    rows = [head + ["rms error, dB"] * has_error, ["---"] * (len(head) + has_error)]
    for curve in curves:
        row = [curve.name, str(curve.epochs), str(curve.best_epoch), f"{curve.best_loss:.5g}"]
        row.append(f"{curve.best_loss - first:+.3g}")
        rows.append(row + ["" if curve.rmse_db is None else f"{curve.rmse_db:.3f}"] * has_error)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _column(rows: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
    kept = [row for row in rows if name in row]
    return [row["epoch"] for row in kept], [row[name] for row in kept]


def _axes(title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.2, 4.2), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=_INK, fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=_LINE, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, file: Path) -> None:
    with whole_file(file) as draft:
        figure.savefig(draft, dpi=130, format="png", metadata={"Software": None})
