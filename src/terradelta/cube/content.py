"""Pixels of an acquisition, block by block: checked, brought to one form, digested, written or compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube.layout import layout_for
from terradelta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import zarr
    from numpy.typing import NDArray

    from terradelta.cube.acquisitions import Acquisition
    from terradelta.cube.series import Series
    from terradelta.types import Size

__all__ = ["Content", "compare_with_stored", "digest_of_stored", "write_blocks"]

_DN_MEDIAN = 3.0

Window = tuple[slice, slice]
Blocks = dict[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Content:
    """What was met on the way through an acquisition.

    Attributes
    ----------
    digest : str
        Hexadecimal digest of all pixels.
    valid : int
        Number of valid pixels: all bands finite and, for optical images, clear.

    Examples
    --------
    >>> Content("ab", 3).valid
    3
    """

    digest: str
    valid: int


class _Meter:
    """Sum up digest and valid pixels while blocks pass by."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._valid = 0

    def take(self, blocks: Blocks) -> None:
        good: list[NDArray[np.bool_]] = []
        for values in blocks.values():
            self._hash.update(np.ascontiguousarray(values).data)
            good += [values] if values.dtype == np.bool_ else list(~np.isnan(values))
        self._valid += int(np.count_nonzero(np.logical_and.reduce(good)))

    def content(self) -> Content:
        return Content(self._hash.hexdigest(), self._valid)


def write_blocks(
    targets: Mapping[str, zarr.Array[Any]], index: int, acquisition: Acquisition, order: list[int]
) -> Content:
    """Write the pixels of an acquisition, one shard at a time.

    Parameters
    ----------
    targets : mapping of zarr.Array
        Arrays with room for `index`, by variable.
    index : int
        Place along time.
    acquisition : SarAcquisition or OpticalAcquisition
        What to write.
    order : list of int
        Its bands in the cube's order.

    Returns
    -------
    Content
        Digest and number of valid pixels, from the same pass.

    Raises
    ------
    InputError
        If values cannot be what they should be.
    """
    meter = _Meter()
    for window in _windows(acquisition.size):
        blocks = _blocks_of(acquisition, order, window)
        meter.take(blocks)
        for name, values in blocks.items():
            targets[name][(index, ..., *window)] = values
    return meter.content()


def compare_with_stored(
    series: Series, index: int, acquisition: Acquisition, order: list[int]
) -> tuple[Content, str]:
    """Compare an acquisition with the pixels stored at one place.

    Parameters
    ----------
    series : Series
        The group.
    index : int
        Place along time, in the order of storage.
    acquisition : SarAcquisition or OpticalAcquisition
        What came again.
    order : list of int
        Its bands in the cube's order.

    Returns
    -------
    tuple of Content and str
        Digest and valid pixels of what came, and a description of the differences, empty if there are none.
    """
    meter = _Meter()
    count: dict[str, int] = {}
    first = ""
    arrays = {pixels.name: series.array(pixels.name) for pixels in series.spec.pixels}
    for window in _windows(acquisition.size):
        blocks = _blocks_of(acquisition, order, window)
        meter.take(blocks)
        for name, new in blocks.items():
            old = np.asarray(arrays[name][(index, ..., *window)])
            labels = series.bands if new.ndim == 3 else (name,)
            differs = ((old != new) & ~((old != old) & (new != new))).reshape(len(labels), *new.shape[-2:])
            for band in np.flatnonzero(differs.any(axis=(1, 2))):
                label, planes = (
                    labels[band],
                    (old.reshape(differs.shape)[band], new.reshape(differs.shape)[band]),
                )
                count[label] = count.get(label, 0) + int(np.count_nonzero(differs[band]))
                first = first or _describe(differs[band], *planes, label, window)
    total = acquisition.size.y * acquisition.size.x
    counts = ", ".join(f"{label} at {number} of {total} pixels" for label, number in count.items())
    return meter.content(), f"{counts} ({first})" if count else ""


def digest_of_stored(series: Series, index: int) -> Content:
    """Read the stored pixels of one acquisition and sum them up anew.

    Parameters
    ----------
    series : Series
        The group.
    index : int
        Place along time, in the order of storage.

    Returns
    -------
    Content
        Digest and number of valid pixels.
    """
    meter = _Meter()
    arrays = {pixels.name: series.array(pixels.name) for pixels in series.spec.pixels}
    for window in _windows(series.header.size):
        meter.take({name: np.asarray(array[(index, ..., *window)]) for name, array in arrays.items()})
    return meter.content()


def _windows(size: Size) -> Iterator[Window]:
    step_y, step_x = layout_for(size).shard
    for y in range(0, size.y, step_y):
        for x in range(0, size.x, step_x):
            yield slice(y, min(y + step_y, size.y)), slice(x, min(x + step_x, size.x))


def _blocks_of(acquisition: Acquisition, order: list[int], window: Window) -> Blocks:
    blocks: Blocks = {}
    for name, image in acquisition.images().items():
        part = image[(..., *window)]
        values = np.asarray(part.compute() if hasattr(part, "compute") else part)
        if values.dtype != np.bool_:
            values = np.array(values[order], dtype=np.float32)
            values[np.isnan(values)] = np.nan
            _check_values(name, values)
        blocks[name] = values
    return blocks


def _check_values(name: str, values: NDArray[np.float32]) -> None:
    if np.isinf(values).any():
        raise InputError(f"{name} holds infinite values; mark pixels without data as NaN")
    low = np.fmin.reduce(values, axis=None) if values.size else np.nan
    if name == "backscatter" and low < 0:
        raise InputError(
            f"{name} holds {low:.4g}, but linear power is never below 0: this looks like decibel; "
            "convert it with terradelta.sar.to_linear (10 ** (dB / 10))"
        )
    if name == "reflectance" and np.fmax.reduce(values, axis=None) > _DN_MEDIAN:
        middle = float(np.nanmedian(values))
        if middle > _DN_MEDIAN:
            raise InputError(
                f"{name} has the median {middle:.4g}, expected 0..1: these look like digital numbers; "
                "scale them first (Sentinel-2: subtract the offset, divide by 10000)"
            )


def _describe(
    differs: NDArray[np.bool_], old: NDArray[Any], new: NDArray[Any], label: str, window: Window
) -> str:
    y, x = (int(places[0]) for places in np.nonzero(differs))
    row, column = window[0].start + y, window[1].start + x
    return f"first {label} at row {row}, column {column}: stored {old[y, x]:.6g}, new {new[y, x]:.6g}"
