"""The sequential omnibus test: has a pixel's backscatter changed, how often, and when first and last."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from terradelta.errors import InputError
from terradelta.sar._omnibus_pixels import Pixels, PublishedPixels
from terradelta.sar._omnibus_state import (
    OmnibusResult,
    OmnibusState,
    check_parameters,
    gather,
    run_strips,
    strips,
)
from terradelta.sar.decibel import as_float
from terradelta.types import Size

__all__ = ["omnibus", "omnibus_stream"]

_TOGETHER = 4


def omnibus(
    series: ArrayLike,
    looks: float,
    significance: float = 0.001,
    *,
    as_published: bool = False,
    steps: bool = False,
    step_p_values: bool = False,
    threads: int = 1,
) -> OmnibusResult:
    """Find the changes of each pixel in a series of radar images of one orbit.

    Going through time, each observation is tested against all since the last change (or the start): with
    ``j - 1`` of them before, sums S of these and c the new one, and p bands,

        ln R_j = n (p (j ln j - (j-1) ln(j-1)) + (j-1) ln|S| + ln|c| - j ln|S + c|),

    n looks, and the determinant ``|.|`` the product of the bands, which are taken as independent (the
    diagonal of the dual-polarisation covariance matrix). Under no change,

        P(-2 rho ln R_j <= z) = (1 - w) P(chi2(p) <= z) + w P(chi2(p + 4) <= z),
        rho = 1 - (1 + 1/(j (j-1))) / (6 n),    w = -(p/4) (1 - 1/rho)**2.

    That is the paper's theorem on R_j for a 1 x 1 matrix (2 p^2 - 1 = 1, p^2 - 1 = 0 there), once per band
    and added. At ``p <= significance`` the pixel changed, and all sums restart with the new observation.
    The overall p-value of k observations is the paper's theorem on Q, likewise:
    ``ln Q = n (p k ln k + sum of ln|c| - k ln|sum of c|)``, ``p (k - 1)`` degrees of freedom in place of p,
    ``rho = 1 - (1 + 1/k) / (6 n)``, ``w = -(p (k - 1)/4) (1 - 1/rho)**2``. The paper looks for dates only
    where Q finds a change: for that, combine ``p_value`` and ``count``.
    Missing observations are left out, pixel by pixel; one missing band makes the observation missing.

    Parameters
    ----------
    series : array_like
        (time, band, y, x), linear power, 1 or 2 bands; NaN, zero and negative values are no data.
    looks : float
        Equivalent number of looks, at least 1; see `equivalent_looks`.
    significance : float
        P-value of a step at or below which it is a change; it is also the rate of false alarms per step.
    as_published : bool
        The variant behind published training labels, for comparison only: the second band's sum starts at 0
        in place of the first observation and never restarts, and missing values count as observations.
    steps, step_p_values : bool
        Also give every decision and every step's p-value.
    threads : int
        Strips of rows worked on at once.

    Returns
    -------
    OmnibusResult
        Counts, first and last change, p-values.

    Raises
    ------
    InputError
        If the series is not (time, band, y, x) with 1 or 2 bands, or a parameter is out of range.

    References
    ----------
    Conradsen, K., Nielsen, A. A., & Skriver, H. (2016). Determining the points of change in time series of
    polarimetric SAR data. IEEE Transactions on Geoscience and Remote Sensing, 54(5), 3007-3024.

    Examples
    --------
    >>> import numpy as np
    >>> series = np.full((10, 2, 1, 3), 0.1)
    >>> series[6:, :, 0, 1] *= 10
    >>> series[4, 0, 0, 2] = np.nan
    >>> found = omnibus(series, looks=12)
    >>> found.count.tolist(), found.first.tolist(), found.observations.tolist()
    ([[0, 1, 0]], [[-1, 6, -1]], [[10, 10, 9]])
    """
    values = as_float(series, "series")
    if values.ndim != 4:
        raise InputError(f"series has shape {values.shape}; expected four dimensions (time, band, y, x)")
    check_parameters(values.shape[1], looks, significance)
    size = Size(*values.shape[2:])
    rows = strips(size)
    shape = (len(values), *size)
    decided = np.zeros(shape, np.bool_) if steps else None
    p_values = np.empty(shape, np.float32) if step_p_values else None
    kind = PublishedPixels if as_published else Pixels

    def strip(part: slice) -> Pixels:
        pixels = kind((part.stop - part.start) * size.x, values.shape[1], looks, significance)
        for time, image in enumerate(values[:, :, part]):
            changed, p = pixels.update(image.reshape(len(image), -1), step_p_values)
            if decided is not None:
                decided[time, part].reshape(-1)[changed] = True
            if p_values is not None and p is not None:
                p_values[time, part].reshape(-1)[:] = p
        return pixels

    done = run_strips(threads, strip, rows)
    return gather(size, rows, done, decided, p_values)


def omnibus_stream(
    images: Iterable[ArrayLike],
    looks: float,
    significance: float = 0.001,
    *,
    as_published: bool = False,
    threads: int = 1,
) -> OmnibusResult:
    """Run `omnibus` over images that come one by one, such as from disk; only four are held at a time.

    Parameters
    ----------
    images : iterable of array_like
        Each (band, y, x), linear power, in order of time.
    looks, significance, as_published, threads
        As for `omnibus`.

    Returns
    -------
    OmnibusResult
        As of `omnibus`, without the arrays per step.

    Raises
    ------
    InputError
        If there is no image, or as for `omnibus`.

    Examples
    --------
    >>> import numpy as np
    >>> levels = (0.1, 0.1, 0.1, 3.0)
    >>> omnibus_stream((np.full((2, 1, 1), v) for v in levels), looks=4).first.tolist()
    [[3]]
    """
    coming = iter(images)
    few = list(islice(coming, _TOGETHER))
    if not few:
        raise InputError("images is empty; give at least one image (band, y, x)")
    shape = np.shape(few[0])
    if len(shape) != 3:
        raise InputError(f"image has shape {shape}; expected three dimensions (band, y, x)")
    state = OmnibusState(
        Size(*shape[1:]), shape[0], looks, significance, as_published=as_published, threads=threads
    )
    while few:
        state.extend(few)
        few = list(islice(coming, _TOGETHER))
    return state.result()
