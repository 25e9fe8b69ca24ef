"""What came of filling a cube."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FillReport"]


@dataclass(frozen=True)
class FillReport:
    """What came of filling a cube.

    Attributes
    ----------
    path : pathlib.Path
        The cube.
    added, skipped : int
        Acquisitions that were written, and those that were there already.
    empty : tuple of str
        Acquisitions left out because they show nothing there.
    failures : tuple of str
        Lines about bad files and dates that were left out.
    warnings : tuple of str
        Lines worth reading.
    static : tuple of str
        Names of the static layers written.
    weather_days : int
        Days of weather written.

    Examples
    --------
    >>> print(FillReport(Path("a.zarr"), added=3, skipped=1))
    3 acquisitions added, 1 there already
    """

    path: Path
    added: int = 0
    skipped: int = 0
    empty: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    weather_days: int = 0

    def __str__(self) -> str:
        added = "1 acquisition" if self.added == 1 else f"{self.added} acquisitions"
        parts = [f"{added} added", f"{self.skipped} there already"]
        parts += [f"{len(self.empty)} empty"] if self.empty else []
        parts += [f"{len(self.failures)} left out"] if self.failures else []
        parts += [f"layers {', '.join(self.static)}"] if self.static else []
        parts += [f"{self.weather_days} days of weather"] if self.weather_days else []
        return ", ".join(parts)
