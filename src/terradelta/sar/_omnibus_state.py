"""What the omnibus test finds, and its running state for a whole image."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.sar._omnibus_pixels import Pixels, PublishedPixels
from terradelta.sar.decibel import as_float
from terradelta.types import BoolArray, Size

__all__ = ["OmnibusResult", "OmnibusState", "check_parameters", "gather", "run_strips", "strips"]

_STRIP = 16_384


@dataclass(frozen=True)
class OmnibusResult:
    """What the sequential omnibus test found, each array of shape (y, x) unless said otherwise.

    Attributes
    ----------
    count : ndarray of uint16
        Number of changes.
    first, last : ndarray of int32
        Index in the series of the first image after the first and the last change, -1 where none.
    p_value : ndarray of float32
        Probability of so uneven a series (omnibus test of all observations) if nothing changed; NaN below two
        observations and in the published variant.
    observations : ndarray of uint16
        Number of valid observations.
    steps : ndarray of bool or None
        (time, y, x), if asked for: the image is the first after a change.
    step_p_values : ndarray of float32 or None
        (time, y, x), if asked for: p-value of each step's test, NaN where there was none.
    """

    count: NDArray[np.uint16]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    p_value: NDArray[np.float32]
    observations: NDArray[np.uint16]
    steps: BoolArray | None = None
    step_p_values: NDArray[np.float32] | None = None


class OmnibusState:
    """The sequential omnibus test fed image by image; memory does not grow with the number of images.

    It holds about 80 bytes per pixel for two bands. It can be pickled and fed on later.

    Parameters
    ----------
    size : Size
        Rows and columns of the images.
    bands : int
        1, or 2 bands taken as independent.
    looks : float
        Equivalent number of looks of the images, at least 1.
    significance : float
        P-value at or below which a step is a change, between 0 and 1.
    as_published : bool
        See `omnibus`.
    threads : int
        Strips of rows worked on at once.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> state = OmnibusState(Size(1, 2), bands=1, looks=4, significance=0.001)
    >>> for level in (0.1, 0.1, 0.1):
    ...     _ = state.update(np.full((1, 1, 2), level))
    >>> state.update(np.array([[[0.1, 2.0]]])).tolist()
    [[False, True]]
    >>> state.result().first.tolist()
    [[-1, 3]]
    """

    def __init__(
        self,
        size: Size | tuple[int, int],
        bands: int,
        looks: float,
        significance: float = 0.001,
        *,
        as_published: bool = False,
        threads: int = 1,
    ) -> None:
        check_parameters(bands, looks, significance)
        self.size, self.bands, self.threads = Size(*size), bands, threads
        kind = PublishedPixels if as_published else Pixels
        self._rows = strips(self.size)
        self._pixels = [
            kind((rows.stop - rows.start) * self.size.x, bands, looks, significance) for rows in self._rows
        ]

    def update(self, image: ArrayLike) -> BoolArray:
        """Take the next image.

        Parameters
        ----------
        image : array_like
            (band, y, x), linear power; NaN, zero and negative values are no data.

        Returns
        -------
        ndarray of bool
            (y, x), true where this image is the first after a change.

        Raises
        ------
        InputError
            If the shape is not that of the state.
        """
        return np.asarray(self.extend([image])[0])

    def extend(self, images: Sequence[ArrayLike]) -> BoolArray:
        """Take a few images at once, which is faster: a strip of pixels stays in the cache for all of them.

        Parameters
        ----------
        images : sequence of array_like
            Each as for `update`, in order of time.

        Returns
        -------
        ndarray of bool
            (time, y, x), true where the image is the first after a change.

        Raises
        ------
        InputError
            As `update`; then none of the images was taken.
        """
        values = [as_float(image, "image") for image in images]
        wanted = (self.bands, *self.size)
        for image in values:
            if image.shape != wanted:
                raise InputError(f"image has shape {image.shape}; expected {wanted} (band, y, x)")
        changed = np.zeros((len(values), *self.size), np.bool_)

        def strip(rows: slice, pixels: Pixels) -> None:
            for decided, image in zip(changed, values, strict=True):
                found, _ = pixels.update(image[:, rows].reshape(self.bands, -1))
                decided[rows].reshape(-1)[found] = True

        run_strips(self.threads, strip, self._rows, self._pixels)
        return changed

    def result(self) -> OmnibusResult:
        """Give the findings so far, as new arrays."""
        return gather(self.size, self._rows, self._pixels)


def check_parameters(bands: int, looks: float, significance: float) -> None:
    """Refuse what is out of range."""
    if bands not in (1, 2):
        raise InputError(f"there are {bands} bands; the test takes 1 or 2, for example VV and VH")
    if not (looks >= 1 and np.isfinite(looks)):
        raise InputError(f"looks is {looks}; give the equivalent number of looks, at least 1")
    if not 0 < significance < 1:
        raise InputError(
            f"significance is {significance}; give a probability between 0 and 1, for example 0.001"
        )


def strips(size: Size) -> list[slice]:
    """Cut the rows so that the state of one strip stays in the cache."""
    step = max(_STRIP // max(size.x, 1), 1)
    return [slice(start, min(start + step, size.y)) for start in range(0, size.y, step)]


def run_strips(threads: int, work: Any, *arguments: list[Any]) -> list[Any]:
    """Work on the strips, several at once if asked; give the results in order."""
    if threads <= 1:
        return [work(*one) for one in zip(*arguments, strict=True)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, *arguments))


def gather(
    size: Size,
    rows: list[slice],
    parts: list[Pixels],
    steps: BoolArray | None = None,
    step_p_values: NDArray[np.float32] | None = None,
) -> OmnibusResult:
    """Put the findings of the strips together."""
    count, observations = np.empty(size, np.uint16), np.empty(size, np.uint16)
    first, last = np.empty(size, np.int32), np.empty(size, np.int32)
    p_value = np.empty(size, np.float32)
    for part, pixels in zip(rows, parts, strict=True):
        for target, source in (
            (count, pixels.changes),
            (first, pixels.first),
            (last, pixels.last),
            (p_value, pixels.overall()),
            (observations, pixels.observations),
        ):
            target[part] = source.reshape(target[part].shape)
    return OmnibusResult(count, first, last, p_value, observations, steps, step_p_values)
