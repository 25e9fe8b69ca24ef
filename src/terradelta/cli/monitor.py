"""`terradelta monitor`."""

from __future__ import annotations

from terradelta.workflows.config import MonitorSettings

__all__ = ["run"]


def run(settings: MonitorSettings) -> None:
    """Watch a place."""
    import typer

    from terradelta.products import read_summary
    from terradelta.workflows.monitor import run_monitor, windows_at
    from terradelta.workflows.progress import show_progress

    with show_progress() as progress:
        out = run_monitor(settings, progress)
    line = f"{out}: {windows_at(out)}"
    found = read_summary(out)
    if found.change is not None:
        places = "1 place" if found.polygons == 1 else f"{found.polygons} places"
        area = found.change.changed_area_m2 / 1e4
        line += f", {found.change.changed_share:.2%} changed, {area:.1f} ha in {places}"
    typer.echo(f"{line}; open {out / 'report.html'}")
