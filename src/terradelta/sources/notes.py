"""What a user should know about a plan before pixels are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.gathering import touches
from terradelta.sources.grids import places, shift_between
from terradelta.sources.layers import Layer
from terradelta.sources.planned import PlannedAcquisition
from terradelta.sources.problems import Problems

__all__ = ["note_gaps", "note_resampling", "reaches", "require_one_place"]

_SHOWN = 8


def require_one_place(folder: Path, acquisitions: Sequence[PlannedAcquisition]) -> None:
    """Images of places that do not touch must not end in one cube."""
    grids: dict[str, GeoBox] = {}
    for one in acquisitions:
        for frames in one.frames:
            grids |= {layer.place or layer.raw.path.stem: layer.grid for layer in frames}
    found = places(grids)
    if len(found) > 1:
        names = [
            group[0] if len(group) == 1 else f"{group[0]} (and {len(group) - 1} more)" for group in found
        ]
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise SourceError(
            f"{folder}: {len(found)} places that do not touch: {shown}; choose one with a pattern such as "
            f"{found[0][0] + '*'!r}, or give bounds"
        )


def reaches(one: PlannedAcquisition, grid: GeoBox, problems: Problems) -> bool:
    """Tell whether an acquisition meets the cube, and note it if not."""
    if touches(grid, one):
        return True
    problems.warn(f"{one.files[0]}: {str(one.time)[:19]} lies outside the cube and is left out")
    return False


def note_resampling(layers: Sequence[Layer], grid: GeoBox, problems: Problems) -> None:
    """Tell how many images leave their own grid."""
    for group in ("sar", "optical", "static"):
        own = [layer for layer in layers if layer.group == group]
        moved = sum(shift_between(layer.grid, grid) is None for layer in own)
        if moved:
            what = {"sar": "radar"}.get(group, group)
            problems.warn(
                f"{moved} of {len(own)} {what} layers are not on the cube's grid and will be resampled"
            )


def note_gaps(
    sar: Sequence[PlannedAcquisition], optical: Sequence[PlannedAcquisition], problems: Problems
) -> None:
    """Note what a user should know before the work starts."""
    for name, group in (("radar", sar), ("optical", optical)):
        if len(group) == 1:
            problems.warn(f"one {name} date only ({str(group[0].time)[:10]}): change needs at least two")
    if any(not one.flight.relative_orbit for one in sar):
        problems.warn(
            "relative orbit unknown: say 'relative_orbit' in terradelta.yaml, or tracks will be mixed"
        )
    if any(_offset_open(one) for one in optical):
        problems.warn(
            "optical numbers since 2022-01-25 taken without the Sentinel-2 offset: if the provider left it "
            "in, say 'offset: -0.1' in terradelta.yaml"
        )


def _offset_open(one: PlannedAcquisition) -> bool:
    """Integers of unknown origin, new enough to carry the offset."""
    layer = one.frames[0][0]
    integer = layer.raw.dtype.kind in "ui" and str(one.time) >= "2022-01-25"
    return integer and not one.offset_applied and layer.place == ""
