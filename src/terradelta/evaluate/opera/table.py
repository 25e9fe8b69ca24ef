"""The figures of the experiment as one Markdown table."""

from __future__ import annotations

from statistics import fmean, stdev

from terradelta.evaluate.opera.report import PUBLISHED, MethodFigures, OperaReport

__all__ = ["TITLE", "markdown"]

TITLE = "Scores on real Sentinel-1 series (OPERA RTC-S1, track 137)"

_SMALLER_IS_BETTER = (3,)
_FORMS = (".4f", ".3f", ".1f", ".1f", ".4f")
_UNITS = ("", "", " %", " %", "")


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
    rows = _merged(report)
    best = _best(rows)
    rate = f"{100 * report.protocol.false_alarms:g} %"
    columns = ("method", "AUC of discs", "worst", f"found at {rate}", "alarms in rain", "AUC of large change")
    lines = [_row(columns), _row(("---",) + ("---:",) * 5)]
    for label, figures in rows.items():
        cells = _cells(figures)
        shown = [f"**{text}**" if label in best[number] else text for number, text in enumerate(cells)]
        lines.append(_row((f"**{label}**" if figures[0].group == "robust" else label, *shown)))
    for line in PUBLISHED:
        label = f"*published elsewhere, not computed here: {line.label}*"
        lines.append(_row((label, line.auc, "–", "–", line.rain, line.large)))
    return "\n".join([f"# {TITLE}", "", *lines, "", _notes(report)])


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _merged(report: OperaReport) -> dict[str, list[MethodFigures]]:
    """Put the trainings of one network together; every other method has a row of its own."""
    rows: dict[str, list[MethodFigures]] = {}
    for figures in report.methods.values():
        rows.setdefault(figures.label, []).append(figures)
    return rows


def _values(figures: MethodFigures) -> tuple[float, ...]:
    share = [100 * value for value in (figures.mean_found, figures.mean_rain)]
    return (figures.mean_auc, figures.worst_auc, *share, figures.mean_large)


def _cells(trainings: list[MethodFigures]) -> tuple[str, ...]:
    """Write mean and, where there are several trainings, standard deviation over them."""
    columns = list(zip(*(_values(figures) for figures in trainings), strict=True))
    cells = []
    for form, unit, column in zip(_FORMS, _UNITS, columns, strict=True):
        spread = f" ± {format(stdev(column), form)}" if len(column) > 1 else ""
        cells.append(f"{format(fmean(column), form)}{spread}{unit}")
    return tuple(cells)


def _best(rows: dict[str, list[MethodFigures]]) -> list[set[str]]:
    """Labels of the best methods per column, by the figures as they are shown."""
    best = []
    for number, form in enumerate(_FORMS):
        means = {
            label: format(fmean(_values(figures)[number] for figures in trainings), form)
            for label, trainings in rows.items()
        }
        wanted = (min if number in _SMALLER_IS_BETTER else max)(map(float, means.values()))
        best.append({label for label, text in means.items() if float(text) == wanted})
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
        f"the {protocol.history} images before (z-score, robust and conditioned network: in standard "
        "deviations; ± is the spread over trainings). "
        "The log-ratio of two images is the difference to the last one in dB.",
        f"Large change: {protocol.changed}, {len(protocol.large_targets)} targets after "
        f"{len(protocol.large_history)} known images; true where the smoothed VH of later dry dates "
        f"is more than {-protocol.changed_below:g} dB lower.",
    )
    return "".join(f"- {note}\n" for note in notes)
