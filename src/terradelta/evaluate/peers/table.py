"""The figures of the experiment as Markdown: one table per set of series."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import NamedTuple

from terradelta.evaluate.opera.report import MethodFigures
from terradelta.evaluate.peers.cost import Cost
from terradelta.evaluate.peers.report import PeersReport, SeriesFigures
from terradelta.evaluate.urban.writing import table

__all__ = ["TITLES", "markdown"]

TITLES = {
    "real": "Real series (OPERA RTC-S1, track 137)",
    "simulated": "Simulated series",
}


class _Column(NamedTuple):
    title: str
    form: str
    unit: str


_SCORES = (
    _Column("AUC of discs", ".4f", ""),
    _Column("worst", ".3f", ""),
    _Column("found at 1 %", ".1f", " %"),
    _Column("alarms in rain", ".1f", " %"),
    _Column("AUC of large change", ".4f", ""),
    _Column("pixels lost", ".2f", " %"),
)
_COSTS = ("s / Mpx", "s / Mpx, only the newest to despeckle", "peak MiB")


def markdown(report: PeersReport) -> str:
    """Write the tables and what their columns mean.

    Parameters
    ----------
    report : PeersReport
        From `run`.

    Returns
    -------
    str
        A heading, a table per set of series, notes.
    """
    parts = ["# Against pre-trained transformers"]
    for one in report.series:
        parts += [f"## {TITLES[one.name]}", _table(one, report.costs)]
    return "\n\n".join([*parts, _notes(report)]) + "\n"


def _table(series: SeriesFigures, costs: Mapping[str, Cost]) -> str:
    head = ["method", *(column.title for column in _SCORES), *(_COSTS if costs else ())]
    rows: dict[str, list[str]] = {}
    for key, figures in series.methods.items():
        rows.setdefault(figures.label, []).append(key)
    lines = []
    for label, keys in rows.items():
        cells = _cells([series.methods[key] for key in keys])
        lines.append(
            [
                label,
                *cells,
                *(_cost(_of(costs, keys[0])) if costs else ()),
            ]
        )
    return table(head, lines)


def _cells(trainings: list[MethodFigures]) -> list[str]:
    cells = []
    for column, values in zip(_SCORES, zip(*map(_values, trainings), strict=True), strict=True):
        spread = f" ± {format(stdev(values), column.form)}" if len(values) > 1 else ""
        cells.append(f"{format(fmean(values), column.form)}{spread}{column.unit}")
    return cells


def _values(one: MethodFigures) -> tuple[float, ...]:
    shares = (100 * one.mean_found, 100 * one.mean_rain)
    return (one.mean_auc, one.worst_auc, *shares, one.mean_large, 100 * one.mean_lost)


def _of(costs: Mapping[str, Cost], key: str) -> Cost | None:
    """Take what was measured; a peer without the scene's median takes what it takes with it."""
    return costs.get(key) or costs.get(key.removesuffix("-median"))


def _cost(cost: Cost | None) -> list[str]:
    if cost is None:
        return ["–"] * len(_COSTS)
    return [f"{cost.seconds:.2f}", f"{cost.newest:.2f}", f"{cost.memory:.0f}"]


def _notes(report: PeersReport) -> str:
    plan, protocol = report.plan, report.series[0].protocol
    notes = [
        f"{protocol.history} previous images. Discs of {protocol.decibel:g} dB, thresholds, rain and large "
        "change as in the experiment opera; on the simulated series discs lie outside fields and water, wet "
        f"targets have 10 mm of rain or more in three days, and a quarter of the last place is felled. "
        f"{plan.places} simulated places of {plan.size} x {plan.size} pixels, and one with the felling.",
        "Transformers: weights of distmetrics (Jet Propulsion Laboratory, Apache-2.0), images despeckled as "
        "for all other methods, the larger deviation of both bands as published; median removed: with the "
        "median departure of the scene taken off each band, which the published code does not do. All "
        f"weight sets run at stride {plan.strides[0]}; the {plan.best} with the best mean AUC of all "
        f"series also at {', '.join(map(str, plan.strides[1:])) or 'no other'}.",
        "Pixels lost: share of those with data in the target and in four previous images or more that get no "
        "score; most of them lie at the lower and right rim, where no whole chip fits.",
    ]
    if report.costs:
        loads = [cost.load for cost in report.costs.values()]
        notes.append(
            f"Time: processor seconds of one thread per megapixel, {plan.cost_size} x {plan.cost_size} "
            "pixels, two bands, from linear power to the score with the despeckling of all images; then the "
            "same if the previous images are despeckled already. Memory: growth of a fresh process beyond "
            "the series itself, its packages loaded. Load average of the machine meanwhile: "
            f"{min(loads):.1f}-{max(loads):.1f}."
        )
    return "\n".join(f"- {note}" for note in notes)
