"""The figures of the experiment as one Markdown table."""

from __future__ import annotations

from terradelta.evaluate.opera.report import PUBLISHED, MethodFigures, OperaReport

__all__ = ["TITLE", "markdown"]

TITLE = "Scores on real Sentinel-1 series (OPERA RTC-S1, track 137)"

_SMALLER_IS_BETTER = (3,)


def markdown(report: OperaReport) -> str:
    """Write the table of all methods, best figures bold, and what its columns mean.

    Parameters
    ----------
    report : OperaReport
        From `run`.

    Returns
    -------
    str
        A heading, the table and four notes.
    """
    cells = {key: _cells(figures) for key, figures in report.methods.items()}
    best = _best(cells)
    rate = f"{100 * report.protocol.false_alarms:g} %"
    columns = ("method", "AUC of discs", "worst", f"found at {rate}", "alarms in rain", "AUC of large change")
    lines = [_row(columns), _row(("---",) + ("---:",) * 5)]
    for key, row in cells.items():
        label = report.methods[key].label
        shown = [f"**{text}**" if key in best[number] else text for number, text in enumerate(row)]
        lines.append(_row((f"**{label}**" if report.methods[key].group == "robust" else label, *shown)))
    for line in PUBLISHED:
        label = f"*published elsewhere, not computed here: {line.label}*"
        lines.append(_row((label, line.auc, "–", "–", line.rain, line.large)))
    return "\n".join([f"# {TITLE}", "", *lines, "", _notes(report)])


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(figures: MethodFigures) -> tuple[str, ...]:
    return (
        f"{figures.mean_auc:.4f}",
        f"{figures.worst_auc:.3f}",
        f"{100 * figures.mean_found:.1f} %",
        f"{100 * figures.mean_rain:.1f} %",
        f"{figures.mean_large:.4f}",
    )


def _best(cells: dict[str, tuple[str, ...]]) -> list[set[str]]:
    """Keys of the best methods per column, by the figures as they are shown."""
    best = []
    for number, column in enumerate(zip(*cells.values(), strict=True)):
        values = [float(text.removesuffix("%")) for text in column]
        wanted = min(values) if number in _SMALLER_IS_BETTER else max(values)
        best.append({key for key, value in zip(cells, values, strict=True) if value == wanted})
    return best


def _notes(report: OperaReport) -> str:
    protocol = report.protocol
    radius = "-".join(f"{value:g}" for value in protocol.radius)
    rate = f"{100 * protocol.false_alarms:g} %"
    notes = (
        f"Discs: {protocol.discs} of {protocol.decibel:g} dB in both bands per target (radius {radius} "
        f"pixels, seed {report.seed}), put in before despeckling; mean and worst of "
        f"{len(protocol.targets)} dates x {len(protocol.stable)} patches.",
        f"The threshold is what {rate} of the pixels of the dry targets without discs exceed, per patch. "
        "Found: share of the discs' pixels above it, dry dates. Rain: share of the scene of "
        f"{protocol.rain} above it.",
        "Every score but that of the omnibus test is the length over both bands of the difference to "
        f"the {protocol.history} images before (z-score and robust: in standard deviations). "
        "The log-ratio of two images is the difference to the last one in dB.",
        f"Large change: {protocol.changed}, {len(protocol.large_targets)} targets after "
        f"{len(protocol.large_history)} known images; true where the smoothed VH of later dry dates "
        f"is more than {-protocol.changed_below:g} dB lower.",
    )
    return "".join(f"- {note}\n" for note in notes)
