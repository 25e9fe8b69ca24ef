"""What was changed, in one line."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["summary_line"]


def summary_line(changes: int, pixels: int, bands: Sequence[str], strength: Sequence[float]) -> str:
    """Tell how many changes there are, how large and how strong.

    Parameters
    ----------
    changes, pixels : int
        How many.
    bands : sequence of str
        Names of the bands.
    strength : sequence of float
        Mean change per band over these pixels, dB; empty if there are none.

    Returns
    -------
    str

    Examples
    --------
    >>> summary_line(2, 12345, ("VV", "VH"), (-2.5, -2.25))
    'changes: 2 | pixels: 12,345 | mean change: VV -2.50 dB, VH -2.25 dB'
    >>> summary_line(0, 0, ("VV",), ())
    'changes: 0 | pixels: 0 | mean change: none'
    """
    parts = [f"{band} {value:+.2f} dB" for band, value in zip(bands, strength, strict=False)]
    return f"changes: {changes} | pixels: {pixels:,} | mean change: {', '.join(parts) or 'none'}"
