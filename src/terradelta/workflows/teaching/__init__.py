"""The verbs that teach networks of urban monitoring: with synthetic labels, and with weak ones of a place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from terradelta.learning.log import read_log

if TYPE_CHECKING:
    from terradelta.learning.fitting import FitResult

__all__ = ["draw_run", "told_of"]


def draw_run(log: Path, plot: Path, title: str) -> None:
    """Draw the losses that there are, also of a run that was stopped.

    Parameters
    ----------
    log : Path
        CSV of the run; nothing is drawn if it is not there.
    plot : Path
        Picture to write.
    title : str
        Above it.
    """
    rows = read_log(log)
    if rows:
        from terradelta.evaluate.training_curves import draw_losses

        draw_losses(rows, plot, title=title)


def told_of(result: FitResult) -> str:
    """Say in a few words how a training went.

    Parameters
    ----------
    result : FitResult
        Of one run.

    Returns
    -------
    str
        Such as ``50 epochs, best validation loss 0.231 in epoch 44, F1 0.62``.
    """
    best = next((row for row in result.log if int(row["epoch"]) == result.best_epoch), {})
    epochs = "1 epoch" if result.epochs == 1 else f"{result.epochs} epochs"
    score = f", F1 {best['val_f1']:.2f}" if "val_f1" in best else ""
    before = "finished before, nothing to do: " if result.idle else ""
    return (
        f"{before}{epochs}, best validation loss {result.best_loss:.4g} in epoch {result.best_epoch}{score}"
    )
