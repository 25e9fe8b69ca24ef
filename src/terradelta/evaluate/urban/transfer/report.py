"""Tables and picture of the experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from terradelta.evaluate.urban.transfer.jobs import AB_INITIO, PRETRAINED, TRANSFERRED
from terradelta.evaluate.urban.transfer.judging import Figures
from terradelta.evaluate.urban.transfer.material import Material
from terradelta.evaluate.urban.transfer.protocol import TransferProtocol
from terradelta.evaluate.urban.writing import table
from terradelta.urban.labels.weak import WeakLabels

__all__ = ["document", "draw", "report"]

_HEAD = (
    "AUC",
    "average precision",
    "F1",
    "threshold",
    "F1 at 0.5",
    "changes found",
    "within a step",
    "within 91 days",
)
_HALF_WINDOW = 91
_COLOURS = {PRETRAINED: "#8a949b", AB_INITIO: "#1b6ca8", TRANSFERRED: "#c43c00"}
_INK, _LINE = "#22282d", "#d9dee1"

Found = Mapping[str, Sequence[Figures]]


def report(found: Found, material: Material, weak: WeakLabels, protocol: TransferProtocol) -> str:
    """Give the tables in Markdown.

    Parameters
    ----------
    found : mapping of str to sequence of Figures
        By seed, and ``published``.
    material : Material
        Places and labels.
    weak : WeakLabels
        Lists of tiles.
    protocol : TransferProtocol
        Sizes.

    Returns
    -------
    str
    """
    step = protocol.stride * protocol.step_days
    lists, shift = weak.versions[0], ", ".join(f"{value:.2f}" for value in material.shift)
    test = {tile: weak.shares[tile] for tile in lists.test}
    intro = (
        f"Each version trains on {len(lists.train)} tiles and validates with {len(lists.validation)}; judged "
        f"by {len(test)} others, {fmean(test.values()):.1%} of whose pixels were built on or torn down. "
        f"Synthetic labels with the suggested α ({shift}). F1 at the threshold that is best on the tiles of "
        f"training and validation. A step from window to window is {step} days or more; a peak is off by the "
        "days from the works to the middle of its window, 0 within the works."
    )
    seeds = {name: each for name, each in found.items() if name != "published"}
    parts = [intro, _means(seeds, step), _order(seeds)]
    for name, figures in found.items():
        parts.append(table([name, "network", *_HEAD], [_row(each, step) for each in figures]))
    return "\n\n".join(parts)


def _row(each: Figures, step: float) -> list[str]:
    values = (each.auc, each.average_precision, each.f1, each.threshold, each.f1_half)
    dates = each.dates
    cells = [f"{value:.3f}" for value in values] + [str(dates.changes)]
    return [
        each.kind,
        each.name,
        *cells,
        *(f"{dates.share_within(days):.0%}" for days in (step, _HALF_WINDOW)),
    ]


def _entries(figures: Sequence[Figures]) -> dict[str, list[Figures]]:
    """Sort what was found by kind, the mean of several networks apart."""
    entries: dict[str, list[Figures]] = {}
    for each in figures:
        name = f"{each.kind}, mean of all" if each.name.startswith("mean of") else each.kind
        entries.setdefault(name, []).append(each)
    return entries


def _means(seeds: Found, step: float) -> str:
    """Give the table of the means over versions and seeds, with the spread over the seeds."""
    by_seed = [_entries(figures) for figures in seeds.values()]
    rows = []
    for name in by_seed[0]:
        cells = []
        for figure in ("auc", "average_precision", "f1", "f1_half"):
            values = [fmean(getattr(each, figure) for each in entries[name]) for entries in by_seed]
            cells.append(f"{fmean(values):.3f} ± {float(np.std(values)):.3f}")
        days = [day for entries in by_seed for each in entries[name] for day in each.dates.days]
        within = [
            float(np.mean(np.abs(days) <= most)) if days else float("nan") for most in (step, _HALF_WINDOW)
        ]
        rows.append([name, *cells, *(f"{share:.0%}" for share in within)])
    head = [
        "networks",
        "AUC",
        "average precision",
        "F1",
        "F1 at 0.5",
        "peaks within a step",
        "within 91 days",
    ]
    return table(head, rows)


def _order(seeds: Found) -> str:
    """Say for each seed whether the networks are in the order of the publication."""
    best = f"{TRANSFERRED}, mean of all"
    pairs = ((best, TRANSFERRED), (TRANSFERRED, PRETRAINED), (TRANSFERRED, AB_INITIO))
    rows = []
    for first, second in pairs:
        cells = []
        for figures in seeds.values():
            entries = _entries(figures)
            for figure in ("auc", "f1"):
                gain = fmean(getattr(each, figure) for each in entries[first])
                gain -= fmean(getattr(each, figure) for each in entries[second])
                cells.append(f"{gain:+.3f}")
        rows.append([f"{first} − {second}", *cells])
    head = [f"{name}, {figure}" for name in seeds for figure in ("AUC", "F1")]
    return table(["difference", *head], rows)


def document(found: Found) -> dict[str, Any]:
    """Give the figures as JSON can keep them.

    Parameters
    ----------
    found : mapping of str to sequence of Figures
        By seed, and ``published``.

    Returns
    -------
    dict
    """
    return {name: [asdict(each) for each in figures] for name, figures in found.items()}


def draw(found: Found, protocol: TransferProtocol) -> bytes:
    """Draw AUC and F1 of every network, and how far the peaks are off.

    Parameters
    ----------
    found : mapping of str to sequence of Figures
        By seed, and ``published``.
    protocol : TransferProtocol
        Sizes.

    Returns
    -------
    bytes
        PNG.
    """
    seeds = {name: each for name, each in found.items() if name != "published"}
    names = list(_entries(next(iter(seeds.values()))))
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, key, title in ((panels[0], "auc", "AUC"), (panels[1], "f1", "F1")):
        for place, name in enumerate(names):
            colour = _COLOURS[name.split(",")[0]]
            for number, figures in enumerate(seeds.values()):
                values = [getattr(each, key) for each in _entries(figures)[name]]
                across = np.full(len(values), place + 0.18 * (number - (len(seeds) - 1) / 2))
                axes.plot(across, values, "o", color=colour, ms=5, mec="white", mew=0.6)
        axes.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=8)
        axes.set_title(f"{title} on tiles that none was taught with", fontsize=9.5, color=_INK)
        axes.grid(axis="y", color=_LINE, lw=0.7)
    _draw_dates(panels[2], seeds, names[-1], protocol)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()


def _draw_dates(axes: Any, seeds: Found, name: str, protocol: TransferProtocol) -> None:
    days = [day for figures in seeds.values() for each in _entries(figures)[name] for day in each.dates.days]
    step = protocol.stride * protocol.step_days
    axes.axvspan(-step, step, color=_LINE, alpha=0.6, lw=0)
    axes.hist(days, bins=np.arange(-270, 271, 30), color=_COLOURS[TRANSFERRED], ec="white")
    axes.set_title(f"Peak against works, {name}", fontsize=9.5, color=_INK)
    axes.set_xlabel(f"days (grey: {step}, a step from window to window)", fontsize=8)
    axes.set_ylabel("changes", fontsize=8)
