"""The places of the experiment: simulated, labelled, and kept in files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from terradelta.cube import geobox_of, open_cube, write_cube
from terradelta.cube.files import remove_tree
from terradelta.evaluate.urban.networks import Progress
from terradelta.evaluate.urban.simulated import built_or_torn
from terradelta.evaluate.urban.transfer.protocol import TransferProtocol
from terradelta.evaluate.urban.writing import as_json, write_files
from terradelta.simulate import urban_place
from terradelta.urban.labels import rule_of
from terradelta.urban.labels.series import synthetic_labels
from terradelta.urban.labels.weak import WeakLabels
from terradelta.windows import versions

__all__ = ["SEED", "Material", "gather", "weak_labels"]

SEED = 100
"""Of the first place; each further one has the next."""

_TARGET, _VERSIONS = "elsewhere", 3


@dataclass(frozen=True)
class Material:
    """Where the places and labels are.

    Attributes
    ----------
    homes, labels : tuple of Path
        Cubes for pre-training and their synthetic labels.
    target : Path
        Cube of the transfer.
    shift : tuple of float
        α that the data of each place for pre-training suggested.
    """

    homes: tuple[Path, ...]
    labels: tuple[Path, ...]
    target: Path
    shift: tuple[float, ...]


def gather(protocol: TransferProtocol, folder: Path, progress: Progress) -> Material:
    """Simulate the places and label those for pre-training, as far as they are not there.

    Parameters
    ----------
    protocol : TransferProtocol
        Sizes.
    folder : Path
        For cubes and labels.
    progress : callable
        Takes a label and a number of steps.

    Returns
    -------
    Material
    """
    scenes = {f"home-{number}": home for number, home in enumerate(protocol.homes, 1)}
    with progress("simulating places", 2 * len(scenes) + 1) as advance:
        for number, (name, settings) in enumerate({**scenes, _TARGET: protocol.elsewhere}.items()):
            _place(folder, name, SEED + number, settings)
            advance(1)
        shifts = []
        for name in scenes:
            labels = synthetic_labels(
                folder / f"{name}.zarr",
                protocol.era,
                folder / f"{name}-labels.zarr",
                rule=replace(rule_of("s1s2"), gain=protocol.gain),
                shift="suggest",
                stride=protocol.every,
                overwrite=True,
            )
            shifts.append(float(labels.attrs["settings"]["rule"]["shift"]))
            advance(1)
    homes = tuple(folder / f"{name}.zarr" for name in scenes)
    files = tuple(folder / f"{name}-labels.zarr" for name in scenes)
    return Material(homes, files, folder / f"{_TARGET}.zarr", tuple(shifts))


def _place(folder: Path, name: str, seed: int, settings: Mapping[str, Any]) -> None:
    """Simulate a place, unless that very one is there."""
    told, note = {"seed": seed, "settings": repr(sorted(settings.items()))}, folder / f"{name}.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == told:
        return
    note.unlink(missing_ok=True)
    file = folder / f"{name}.zarr"
    if file.exists():
        remove_tree(file)
    write_cube(urban_place(seed, **settings), file)
    write_files(folder, {note.name: as_json(told)})


def weak_labels(target: Path, protocol: TransferProtocol) -> WeakLabels:
    """Label the place of the transfer as a person would: changed within the whole period, or not.

    Parameters
    ----------
    target : Path
        Its cube.
    protocol : TransferProtocol
        How many tiles.

    Returns
    -------
    WeakLabels
        With three versions of lists, tiles of different lists at least a tile apart.
    """
    cube = open_cube(target)
    truth = built_or_torn(cube["truth"].to_dataset()).astype(np.uint8)
    times = np.concatenate([cube[group]["time"].values for group in ("sar", "optical")])
    weak = WeakLabels(truth, times.min(), times.max(), geobox=geobox_of(cube))
    lists = versions(weak.grid, protocol.tiles, seed=SEED, guard=1, share=weak.shares, count=_VERSIONS)
    return WeakLabels(weak.truth, weak.start, weak.end, versions=tuple(lists), geobox=weak.geobox)
