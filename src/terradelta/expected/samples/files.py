"""Training files: samples in one Zarr store, one chunk per sample, written once and read in any order."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import zarr

from terradelta.cube.files import read_json
from terradelta.errors import InputError
from terradelta.expected.conditions import Conditions
from terradelta.expected.samples.sample import Sample
from terradelta.expected.samples.storage import COLUMNS, FORMAT, NOTES, PICTURES, VERSION, image_in
from terradelta.expected.samples.writing import write_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from terradelta.types import PathType

__all__ = ["SampleFile", "write_samples"]


class SampleFile(Sequence[Sample]):
    """Samples in a file that `write_samples` made; every process that reads it opens it for itself.

    Parameters
    ----------
    path : path-like
        The Zarr store.

    Attributes
    ----------
    path : Path
        Where it lies.
    bands : tuple of str
        Names of the bands.
    previous : int
        Number of previous images.
    size : int
        Edge of the images in pixels.
    digest : str
        Sum of the contents of all samples in their order; the same samples give the same digest.

    Raises
    ------
    InputError
        There is no such file, or one that was not finished, or something else.

    Examples
    --------
    >>> import tempfile
    >>> from terradelta.expected.samples.plans import PlannedSamples, plan_samples
    >>> from terradelta.simulate import place
    >>> cube, file = place(seed=0, size=48, years=0.4, changes=0), tempfile.mkdtemp() + "/train.zarr"
    >>> write_samples(file, PlannedSamples(cube, plan_samples(cube, count=2, size=32)))
    2
    >>> samples = SampleFile(file)
    >>> len(samples), samples[1].images.shape
    (2, (4, 2, 32, 32))
    """

    def __init__(self, path: PathType) -> None:
        self.path = Path(path)
        attributes = self._attributes()
        self.bands = tuple(str(band) for band in attributes["bands"])
        self.previous, self.size = int(attributes["previous"]), int(attributes["size"])
        self.digest, self._count = str(attributes["digest"]), int(attributes["count"])
        self._arrays: dict[str, Any] = {}
        self._process = 0

    def _attributes(self) -> dict[str, Any]:
        attributes = (read_json(self.path / "zarr.json") or {}).get("attributes", {})
        if attributes.get("format") != FORMAT:
            raise InputError(
                f"{self.path} is no finished file of samples; write it with write_samples "
                "(the same call goes on where a run was cut off)"
            )
        if attributes["version"] > VERSION:
            raise InputError(
                f"{self.path} has format {attributes['version']}, this terradelta reads up to {VERSION}: "
                "upgrade terradelta"
            )
        return dict(attributes)

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is open behind."""
        return {**self.__dict__, "_arrays": {}, "_process": 0}

    def __len__(self) -> int:
        """Count the samples."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        """Read a sample."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path} has {len(self)} samples, there is no number {index}")
        return self._sample(index % len(self))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the samples."""
        return tuple(str(name) for name in self._open()["name"])

    @property
    def truths(self) -> tuple[tuple[dict[str, Any], ...] | None, ...]:
        """Simulated changes of the samples, as `Sample.truth`, without reading images."""
        arrays = self._open()
        notes = (_note(arrays, "truth", index) for index in range(len(self)))
        return tuple(None if note is None else tuple(note) for note in notes)

    def conditions(self, index: int) -> Conditions:
        """Give the conditions of a sample without reading its images.

        Parameters
        ----------
        index : int
            Its place.
        """
        tables = self._open()
        columns = {name: tables[name][index] for name in COLUMNS}
        return Conditions(**columns, platform=tuple(str(name) for name in tables["platform"][index]))

    def _open(self) -> dict[str, Any]:
        """Open the arrays once in each process; tables come into memory, images stay on disk."""
        if self._process != os.getpid():
            group = zarr.open_group(str(self.path), mode="r")
            stored: dict[str, Any] = dict(group.arrays())
            self._arrays = {
                name: array if name in (*PICTURES, "ground") else np.asarray(array[:])
                for name, array in stored.items()
            }
            self._process = os.getpid()
        return self._arrays

    def _sample(self, index: int) -> Sample:
        arrays = self._open()
        images = _decibel(arrays, "images", index)
        ground = arrays["ground"][index] if "ground" in arrays else (None, None)
        known = arrays["has_ground"][index]
        time, location = arrays["time"][index], arrays["location"][index]
        mask = arrays["change_mask"][index] if "change_mask" in arrays else None
        takes, truth = (_note(arrays, name, index) for name in NOTES)
        return Sample(
            name=str(arrays["name"][index]),
            images=images[:-1],
            target=images[-1],
            conditions=self.conditions(index),
            bands=self.bands,
            dem=ground[0] if known[0] else None,
            forest=ground[1] if known[1] else None,
            change_mask=mask,
            changed=_decibel(arrays, "changed", index) if "changed" in arrays else None,
            prediction=_decibel(arrays, "prediction", index) if "prediction" in arrays else None,
            time=None if time == np.iinfo(np.int64).min else time.astype("datetime64[ns]"),
            location=None if np.isnan(location).any() else (float(location[0]), float(location[1])),
            superpixels=arrays["superpixels"][index] if "superpixels" in arrays else None,
            takes=None if takes is None else tuple(takes),
            truth=None if truth is None else tuple(truth),
        )


def _note(arrays: dict[str, Any], name: str, index: int) -> list[Any] | None:
    """Read what is kept as JSON; None if it is unknown, or the file is older than these columns."""
    text = str(arrays[name][index]) if name in arrays else ""
    return json.loads(text) if text else None


def _decibel(arrays: dict[str, Any], name: str, index: int) -> NDArray[np.float32]:
    return image_in(np.asarray(arrays[name][index]))
