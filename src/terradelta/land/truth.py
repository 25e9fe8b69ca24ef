"""Land cover of a simulated place, as it really was at any time."""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube.acquisitions import as_time
from terradelta.errors import CubeError
from terradelta.land.classes import CLASSES
from terradelta.land.layers import LayerLand
from terradelta.land.masks import inside
from terradelta.land.radar import radar_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from terradelta.land.interface import Acquisition, Areas
    from terradelta.types import BoolArray, FloatArray, PathType

__all__ = ["BECOMES", "TruthLand"]

BECOMES: Mapping[str, str] = MappingProxyType({
    "clear_cut": "open",
    "building": "urban",
    "flood": "lake",
    "fire": "open",
    "harvest": "field",
    "demolition": "open",
})  # fmt: skip
"""What each kind of change makes of the ground; a harvested field is still a field."""


class TruthLand(LayerLand):
    """Land cover of a simulated place: at the start, or with the changes up to a time.

    `pixels` leaves out what at the time of the image is of another class than the area: the felled part of
    a forest gives no forest pixels any more. While nothing changed, all answers equal those of `LayerLand`.

    Parameters
    ----------
    cube : path-like or DataTree
        A simulated place: with ``static/land_cover`` and the group ``truth``.
    time : numpy.datetime64 or str, optional
        For `forest` and `nearest`: UTC; the start of the series by default.

    Attributes
    ----------
    crs : str
        CRS of the place.

    Raises
    ------
    CubeError
        If the cube tells no truth.

    Examples
    --------
    >>> from terradelta.cube import geobox_of
    >>> from terradelta.simulate import place
    >>> tree = place(seed=0, size=64, years=1, changes=1, kinds=("clear_cut",))
    >>> land = TruthLand(tree)
    >>> before, after = (one.forest(geobox_of(tree)) for one in (land, land.at("2030-01-01")))
    >>> bool((before & ~after == (tree["truth"].changed == 1).values).all())
    True
    """

    def __init__(self, cube: PathType | xr.DataTree, time: np.datetime64 | str | None = None) -> None:
        super().__init__(cube)
        truth = set(self._tree["truth"].data_vars) if "truth" in self._tree.children else set()
        if not {"date", "until", "kind"} <= truth or not self._has_classes:
            raise CubeError(
                "the cube tells no truth of a simulated place (static/land_cover, and the group truth with "
                "date, until and kind); make one with terradelta.simulate.place, or take LayerLand"
            )
        self._time = None if time is None else as_time(time)

    def at(self, time: np.datetime64 | str | Acquisition) -> TruthLand:
        """Give the land cover at another time.

        Parameters
        ----------
        time : numpy.datetime64, str or Acquisition
            UTC.

        Returns
        -------
        TruthLand
        """
        return TruthLand(self._tree, time[0] if isinstance(time, tuple) else time)

    @cached_property
    def numbers(self) -> NDArray[np.uint8]:
        """Classes on the grid of the cube at the time, (y, x): place in `CLASSES` plus 1, 0 = none."""
        return self._numbers_at(self._time)

    @cached_property
    def _start(self) -> NDArray[np.uint8]:
        return LayerLand(self._tree).numbers

    @cached_property
    def _changes(self) -> dict[str, NDArray[Any]]:
        """Places of the changes, days of begin, end of works and end, and what they become."""
        read = {name: self._layer("truth", name) for name in ("date", "until", "kind")}
        rows, columns = np.nonzero(read["date"] >= 0)
        found = {name: values[rows, columns].astype(np.int64) for name, values in read.items()}
        table = _becoming({str(name): value for name, value in self._tree["truth"]["kind"].attrs.items()})
        unknown = set(np.unique(found["kind"])) - set(table)
        if unknown:
            raise CubeError(
                f"truth/kind has the codes {sorted(map(int, unknown))} of unknown changes; "
                "its attributes flag_values and flag_meanings must name them"
            )
        becomes = np.array([table[int(code)] for code in found["kind"]], np.uint8)
        finished = self._finished(rows, columns, found["date"])
        return {"rows": rows, "columns": columns, **found, "becomes": becomes, "finished": finished}

    def _finished(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp], begin: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Days on which works end; the first day of the change where the place does not tell."""
        truth = self._tree["truth"]
        if "changes" not in truth.children or "label" not in truth.data_vars:
            return begin
        table = truth["changes"].to_dataset()
        days = table["finished"].values.astype("datetime64[D]").astype(np.int64)
        label = self._layer("truth", "label")[rows, columns].astype(np.intp)
        return np.asarray(days[label - 1], np.int64) if days.size else begin

    def _numbers_at(self, time: np.datetime64 | None) -> NDArray[np.uint8]:
        if time is None:
            return self._start
        day = int(time.astype("datetime64[D]").astype(np.int64))
        told = self._changes
        seen = (told["date"] <= day) & ((told["until"] < 0) | (day < told["until"]))
        bare = np.uint8(CLASSES.index("open") + 1)
        now = self._start.copy()
        after = np.where(day < told["finished"], bare, told["becomes"])
        now[told["rows"][seen], told["columns"][seen]] = after[seen]
        return now

    def pixels(self, areas: Areas, acquisition: Acquisition) -> FloatArray:
        """Read the radar pixels inside areas that are still of their class; see `LandSource`."""
        now = self._numbers_at(as_time(acquisition[0]))
        classes = np.array(areas.classes, object)
        shapes = np.array(areas.geometries, object)

        def unchanged(part: GeoBox, rows: slice, columns: slice) -> BoolArray:
            block = now[rows, columns]
            kept = np.zeros(block.shape, bool)
            for name in sorted(set(areas.classes)):
                own = block == CLASSES.index(name) + 1
                kept |= own & inside(shapes[classes == name], areas.crs, part)
            return kept

        return radar_pixels(self._tree, areas, acquisition, unchanged)


def _becoming(attributes: Mapping[str, Any]) -> dict[int, int]:
    """Read which code of the truth makes which class."""
    codes, names = attributes.get("flag_values", ()), str(attributes.get("flag_meanings", "")).split()
    pairs = zip(np.atleast_1d(codes).tolist(), names, strict=False)
    return {int(code): CLASSES.index(BECOMES[name]) + 1 for code, name in pairs if name in BECOMES}
