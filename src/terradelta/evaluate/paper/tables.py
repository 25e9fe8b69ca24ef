"""The tables, with the published figures beside ours."""

from __future__ import annotations

from terradelta.evaluate.images.differences import LABELS
from terradelta.evaluate.paper.published import (
    ABLATION_SVC,
    CHOICE_AUC,
    NO_WEATHER_AUC,
    SVC_ACCURACY,
    THRESHOLD_AUC,
)
from terradelta.evaluate.paper.report import (
    CONVENTIONAL,
    Figure,
    PaperReport,
    cost_of,
    losses_of,
    main_keys,
    outcomes,
    peak_of,
)
from terradelta.evaluate.urban.writing import table
from terradelta.expected.conditions import GROUPS

__all__ = ["markdown"]

_TITLES = {"shift": "offset, −2.5 dB", "stored": "statistical"}
_KINDS = {"subtraction": "−", "scaled-ratio": "/", "scaled-log-ratio": "log"}
_PLAIN = ("mean", "median")


def markdown(report: PaperReport) -> str:
    """Write all tables.

    Parameters
    ----------
    report : PaperReport
        All figures.

    Returns
    -------
    str
        Markdown.
    """
    seeds = len({one.seed for one in report.judged})
    lines = [
        f"# Expected image against previous image: {report.data}",
        "",
        f"Mean ± standard deviation over {seeds} trainings, each judged on changes of its own; "
        f"{report.seconds / 60:.0f} min by the clock.",
    ]
    lines += ["", "## What came out", "", _outcomes(report)]
    lines += ["", "## Choice of the previous image (Table II, Fig. 7)", "", _choices(report)]
    lines += ["", "## Threshold on the difference (Table III, Figs. 8 to 10)", "", _thresholds(report)]
    classifiers = _classifiers(report)
    if classifiers:
        lines += ["", "## Linear support vector classifier (Table IV)", "", classifiers]
    if losses_of(report, report.changes[0]):
        words = (
            "The conditioned network, difference in standard deviations; losses are of the same seeds. "
            "The published accuracies are those of the published architecture."
        )
        lines += ["", "## Without one condition (Table V)", "", words, "", _ablations(report)]
    lines += ["", "## Cost of the trainings", "", _costs(report)]
    return "\n".join(lines) + "\n"


def _text(figure: Figure | None) -> str:
    return "–" if figure is None else figure.text()


def _known(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _outcomes(report: PaperReport) -> str:
    rows = [[one.statement, one.found, "yes" if one.holds else "**no**"] for one in outcomes(report)]
    return table(["should come out", "found", "holds"], rows) if rows else "Nothing to hold it against."


def _choices(report: PaperReport) -> str:
    head = ["difference to", *(f"{_TITLES[change]}: AUC" for change in report.changes), "published (offset)"]
    rows = []
    for way in (*CONVENTIONAL, *_PLAIN):
        areas = [report.conventional(change, way) for change in report.changes]
        if any(areas):
            rows.append([LABELS[way], *map(_text, areas), _known(CHOICE_AUC.get(way))])
    return table(head, rows)


def _thresholds(report: PaperReport) -> str:
    head = ["difference to"]
    for change in report.changes:
        head += [f"{_TITLES[change]}: AUC", "balanced", "published"]
    rows = [_threshold_row(report, key, way) for key in main_keys(report) for way in _ways(report, key)]
    return table(head, [*rows, _threshold_row(report, "", CONVENTIONAL[0])])


def _ways(report: PaperReport, key: str) -> tuple[str, ...]:
    both = ("prediction", "standardised")
    return tuple(way for way in both if report.auc(key, report.changes[0], way) is not None)


def _threshold_row(report: PaperReport, key: str, way: str) -> list[str]:
    name = report.labels.get(key, LABELS[way])
    cells = [f"{name}, in standard deviations" if way == "standardised" else name]
    for change in report.changes:
        found = [
            report.auc(key, change, way, what) if key else report.conventional(change, way, what)
            for what in ("auc", "auc_balanced")
        ]
        cells += [*map(_text, found), _published(key, change, way)]
    return cells


def _published(key: str, change: str, way: str) -> str:
    if key == "unet-dry":
        return _known(NO_WEATHER_AUC if change == "shift" else None)
    return _known(THRESHOLD_AUC[change].get(way)) if key in ("", "unet", "stored") else ""


def _classifiers(report: PaperReport) -> str:
    head = ["features", "difference to"]
    for change in report.changes:
        head += [f"{_TITLES[change]}: accuracy", "published"]
    rows = []
    for kind, sign in _KINDS.items():
        for key in main_keys(report):
            rows.append(_classifier_row(report, key, "prediction", kind, [sign, report.labels[key]]))
        words = [sign, LABELS["nearest-geometry"]]
        rows.append(_classifier_row(report, report.judged[0].key, "previous", kind, words))
    rows = [row for row in rows if row]
    return table(head, rows) if rows else ""


def _classifier_row(report: PaperReport, key: str, way: str, kind: str, words: list[str]) -> list[str]:
    found = [report.accuracy(key, change, way, kind) for change in report.changes]
    if not any(found):
        return []
    cells = list(words)
    known = kind == "subtraction" and (way == "previous" or key in ("unet", "stored"))
    for change, figure in zip(report.changes, found, strict=True):
        cells += [_text(figure), _known(SVC_ACCURACY[change][way]) if known else ""]
    return cells


def _ablations(report: PaperReport) -> str:
    head = ["left out"]
    for change in report.changes:
        head += [f"{_TITLES[change]}: AUC", "loss of AUC", "SVC accuracy", "published"]
    rows = [_ablation_row(report, "nothing", "conditioned", None)]
    for name in GROUPS:
        key = f"conditioned-without-{name}"
        if report.has(key):
            rows.append(_ablation_row(report, name.replace("_", " "), key, name))
    return table(head, rows)


def _ablation_row(report: PaperReport, words: str, key: str, name: str | None) -> list[str]:
    cells = [words]
    for change in report.changes:
        lost = "" if name is None else f"{losses_of(report, change)[name]:+.4f}"
        known = SVC_ACCURACY[change]["prediction"] if name is None else ABLATION_SVC[name][change]
        areas = [report.best(key, change), report.accuracy(key, change, "prediction")]
        cells += [_text(areas[0]), lost, _text(areas[1]), _known(known)]
    return cells


def _costs(report: PaperReport) -> str:
    rows = []
    for key, label in report.labels.items():
        seconds, peak = cost_of(report, key), peak_of(report, key)
        if seconds is not None:
            memory = "–" if peak is None else f"{peak:.0f}"
            rows.append([label, f"{seconds.mean:.0f} ± {seconds.spread:.0f}", memory])
    head = ["network", "processor seconds", "peak memory of the process, MiB"]
    return table(head, rows) if rows else "Nothing was trained."
