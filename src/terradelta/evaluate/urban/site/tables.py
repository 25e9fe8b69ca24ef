"""Tables of the networks on a place: Markdown, CSV and JSON."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np

from terradelta.evaluate.urban.site.labels import SiteLabels
from terradelta.evaluate.urban.site.losses import Loss
from terradelta.evaluate.urban.site.networks import Judged
from terradelta.evaluate.urban.site.scoring import POSITIVE, UrbanScores
from terradelta.evaluate.urban.writing import table
from terradelta.urban.defaults import THRESHOLD

__all__ = ["curves_csv", "figures", "report"]

_FIGURES = ("AUC", "average precision", "precision", "recall", "F1", "kappa", "best F1", "best kappa")
_NONE = "—"
_TILES = (
    "Tile by tile, the last row of each kind: AUC, and F1 and kappa at the threshold 0.5; where nothing "
    "changed, the share of values above it."
)
_LOST = {"sar": "radar", "optical": "optical", "all": "both"}

Results = Mapping[str, Sequence[Judged]]
"""What each group's networks say, the mean last."""


def report(
    results: Results, labels: SiteLabels, losses: Sequence[Loss], names: Sequence[str], training: str
) -> str:
    """Write all tables.

    Parameters
    ----------
    results : mapping of str to sequence of Judged
        By group.
    labels : SiteLabels
        What they were judged by.
    losses : sequence of Loss
        Of the loss of observations; empty: no table.
    names : sequence of str
        Lists of tiles that were judged.
    training : str
        Table of the trainings; empty: none.

    Returns
    -------
    str
        Markdown.
    """
    parts = [_intro(results, labels, names), _networks(results)]
    if len(results) > 1:
        parts += ["Side by side, the last row of each kind:", _side_by_side(results)]
    parts += [_TILES, _tiles(results, labels)]
    if losses:
        parts += ["With a share of the observations left out:", _losses(losses)]
    if training:
        parts += ["Trainings:", training]
    return "\n\n".join(parts)


def _intro(results: Results, labels: SiteLabels, names: Sequence[str]) -> str:
    one = next(iter(results.values()))[-1]
    pixels = one.stitched.changed + one.stitched.unchanged
    period = " to ".join(str(day)[:10] for day in (labels.start, labels.end) if day is not None)
    said = {judged.group: judged.windows for every in results.values() for judged in every[-1:]}
    windows = ", ".join(f"{count} {name}" for name, count in said.items())
    if len(set(said.values())) == 1:
        windows = str(one.windows)
    return (
        f'Positive class: "{POSITIVE}". {len(labels.tiles)} tiles of {labels.grid.tile} pixels '
        f"({', '.join(names)}), {pixels} labelled pixels, {one.stitched.changed / pixels:.1%} of them "
        f"{POSITIVE}; period: {period or 'all of the cube'}; windows: {windows}. "
        "Precision, recall, F1 and kappa are at the threshold 0.5; the best F1 and kappa are those of the "
        "threshold in brackets, chosen on these very tiles."
    )


def _networks(results: Results) -> str:
    rows = [
        [judged.group, judged.name, *_cells(judged.stitched)]
        for every in results.values()
        for judged in every
    ]
    return table(["networks", "network", *_FIGURES], rows)


def _side_by_side(results: Results) -> str:
    last = {group: every[-1] for group, every in results.items()}
    columns = zip(*(_cells(judged.stitched) for judged in last.values()), strict=True)
    rows = [[name, *cells] for name, cells in zip(_FIGURES, columns, strict=True)]
    head = [f"{group} ({judged.name})" for group, judged in last.items()]
    return table(["figure", *head], rows)


def _cells(scores: UrbanScores) -> list[str]:
    now = scores.at(THRESHOLD)
    best = [f"{value:.3f} ({level:.2f})" for value, level in map(scores.best, ("f1", "kappa"))]
    values = (scores.auc, scores.average_precision, now.precision, now.recall, now.f1, now.kappa)
    return [*map(_number, values), *best]


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else _NONE


def _tiles(results: Results, labels: SiteLabels) -> str:
    last = [every[-1] for every in results.values()]
    rows = []
    for number, tile in enumerate(labels.tiles):
        scores = [judged.tiles[number] for judged in last]
        rows.append([str(tile), _share(scores[0]), *(_tile(each) for each in scores)])
    return table(["tile", POSITIVE, *(judged.group for judged in last)], rows)


def _share(scores: UrbanScores | None) -> str:
    return _NONE if scores is None else f"{scores.changed / (scores.changed + scores.unchanged):.1%}"


def _tile(scores: UrbanScores | None) -> str:
    if scores is None:
        return _NONE
    if not scores.changed:
        return f"false {scores.false_at(THRESHOLD):.1%}"
    now = scores.at(THRESHOLD)
    return "; ".join(map(_number, (scores.auc, now.f1, now.kappa)))


def _losses(losses: Sequence[Loss]) -> str:
    head = ["lost from", "share", "radar", "optical", "windows", "observations in a window"]
    rows = []
    for loss in losses:
        row = [_LOST[loss.what], f"{loss.share:.0%}", str(loss.radar), str(loss.optical)]
        if loss.judged is None:
            rows.append([*row, "0", loss.reason, *[_NONE] * 4])
            continue
        scores = loss.judged.stitched
        values = (scores.auc, scores.average_precision, scores.at(THRESHOLD).f1, scores.at(THRESHOLD).kappa)
        held = f"{loss.judged.fewest} to {loss.judged.most}"
        rows.append([*row, str(loss.judged.windows), held, *map(_number, values)])
    return table([*head, "AUC", "average precision", "F1", "kappa"], rows)


def curves_csv(results: Results) -> bytes:
    """Write the figures of every network over the thresholds as CSV.

    Parameters
    ----------
    results : mapping of str to sequence of Judged
        By group.

    Returns
    -------
    bytes
        A row per network and threshold: all pixels of the tiles together.
    """
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["networks", "network", "threshold", "precision", "recall", "f1", "kappa",
                     "false_positive_rate"])  # fmt: skip
    for every in results.values():
        for judged in every:
            scores = judged.stitched
            for level, one, false in zip(scores.thresholds, scores.maps, scores.false, strict=True):
                values = (one.precision, one.recall, one.f1, one.kappa, false)
                writer.writerow([judged.group, judged.name, level, *(f"{value:.6g}" for value in values)])
    return text.getvalue().encode()


def figures(results: Results, labels: SiteLabels, losses: Sequence[Loss]) -> dict[str, Any]:
    """Give all figures as JSON can keep them."""
    return {
        "tile": labels.grid.tile,
        "period": [None if day is None else str(day)[:10] for day in (labels.start, labels.end)],
        "results": [
            {"networks": judged.group, "network": judged.name, "windows": judged.windows,
             **judged.stitched.document(), "tiles": _by_tile(judged, labels)}
            for every in results.values() for judged in every
        ],
        "losses": [loss.document() for loss in losses],
    }  # fmt: skip


def _by_tile(judged: Judged, labels: SiteLabels) -> dict[str, Any]:
    return {
        str(tile): None if scores is None else scores.document()
        for tile, scores in zip(labels.tiles, judged.tiles, strict=True)
    }
