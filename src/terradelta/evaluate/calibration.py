"""Does a standard deviation mean what it says? Shares of unchanged pixels beyond so many of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from math import erfc, sqrt

import numpy as np

from terradelta.types import FloatArray

__all__ = ["LEVELS", "beyond", "draw_calibration", "gaussian_share"]

LEVELS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
"""Standard deviations at which shares are counted."""

_LEAST = 1e-5


def gaussian_share(level: float) -> float:
    """Give the share of a normal distribution beyond so many standard deviations, both sides.

    Examples
    --------
    >>> round(gaussian_share(2.0), 4)
    0.0455
    """
    return erfc(level / sqrt(2))


def beyond(standardised: Iterable[FloatArray], levels: Iterable[float] = LEVELS) -> dict[float, float]:
    """Count the pixels whose difference is larger than so many standard deviations.

    Parameters
    ----------
    standardised : iterable of ndarray
        Differences of unchanged pixels in standard deviations, any shape; NaN = no data.
    levels : iterable of float
        Standard deviations.

    Returns
    -------
    dict of float to float
        Level to share; NaN without any pixel.

    Examples
    --------
    >>> beyond([np.array([0.1, -1.2, 3.0, np.nan])], [1.0, 2.0])
    {1.0: 0.6666666666666666, 2.0: 0.3333333333333333}
    """
    levels = tuple(levels)
    counts, total = np.zeros(len(levels)), 0
    for values in standardised:
        sizes = np.abs(values[np.isfinite(values)])
        total += sizes.size
        counts += [(sizes > level).sum() for level in levels]
    shares = counts / total if total else np.full(len(levels), np.nan)
    return dict(zip(levels, shares.tolist(), strict=True))


def draw_calibration(curves: Mapping[str, Mapping[float, float]], title: str) -> bytes:
    """Draw shares beyond so many standard deviations beside those of a normal distribution.

    Parameters
    ----------
    curves : mapping
        Label to what `beyond` gave.
    title : str
        Above the plot.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.6), facecolor="white", layout="constrained")
    axes = figure.subplots()
    fine = np.linspace(LEVELS[0], LEVELS[-1], 100)
    normal = [gaussian_share(level) for level in fine]
    axes.plot(fine, normal, color="#333333", linewidth=1.2, linestyle=":", label="normal distribution")
    for label, shares in curves.items():
        axes.plot(list(shares), np.maximum(list(shares.values()), _LEAST), marker="o", ms=3.5, label=label)
    axes.set(yscale="log", xlabel="standard deviations", ylabel="share of unchanged pixels beyond")
    axes.set_ylim(bottom=_LEAST)
    axes.set_title(title, loc="left", fontsize=10, weight="bold")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
