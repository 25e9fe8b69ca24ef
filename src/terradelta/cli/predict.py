"""`terradelta predict`."""

from __future__ import annotations

from terradelta.workflows.config import PredictSettings

__all__ = ["run"]


def run(settings: PredictSettings) -> None:
    """Expect an acquisition."""
    import typer

    from terradelta.products import read_summary
    from terradelta.workflows.predict import run_predict
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        out = run_predict(settings, progress)
    found = read_summary(out)
    day = str(found.acquisitions[-1]["time"])[:10]
    length = found.layers["length"].bands[0]
    mean = f", mean difference {length.mean:.2f} dB" if length.valid_pixels else ""
    typer.echo(f"{out}: expected image of {day}{mean}; open {out / 'report.html'}")
