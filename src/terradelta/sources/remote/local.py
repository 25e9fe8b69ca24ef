"""A folder on this machine as a source: what lies there, asked like a catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from terradelta.sources.folder import Plan, scan
from terradelta.sources.gathering import meet
from terradelta.sources.layers import Layer
from terradelta.sources.planned import PlannedAcquisition, read_bands, read_clear
from terradelta.sources.remote.offers import Findings, Images, LayerOffer, Offer, Query
from terradelta.sources.sidecar import SidecarLike
from terradelta.sources.statics import by_name, read_layer

__all__ = ["FolderSource"]


@dataclass(frozen=True)
class FolderSource:
    """Rasters and tables in a folder, or one file, as :func:`terradelta.sources.scan` understands them.

    Parameters
    ----------
    folder : pathlib.Path
        Folder, or one file.
    pattern : str
        Which files count, by name.
    sidecar : path, mapping or Sidecar, optional
        As of :func:`terradelta.sources.scan`.
    """

    folder: Path
    pattern: str = "*"
    sidecar: SidecarLike = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def products(self) -> tuple[str, ...]:
        """Groups of images that a folder may hold."""
        return "sar", "optical", "static"

    def search(self, query: Query) -> Findings:
        """Look through the folder; only headers are read.

        Raises
        ------
        SourceError
            The folder is not there, or nothing in it is understood.
        """
        plan = scan(
            self.folder, pattern=self.pattern, sidecar=self.sidecar, geobox=query.grid, on_error="skip"
        )
        kinds = query.products or self.products
        chosen = [one for one in plan.planned if one.time in query.period and _wanted(one, query)]
        chosen = [one for one in chosen if one.group in kinds]
        near = [layer for layer in plan.static if meet(query.grid, layer.grid)]
        return Findings(
            offers=tuple(self._offer(one, query) for one in chosen),
            layers=tuple(map(self._layer, by_name(near).values())) if "static" in kinds else (),
            weather=plan.weather,
            notes=plan.warnings + plan.failures + _left_out(plan, len(chosen)),
        )

    def _offer(self, planned: PlannedAcquisition, query: Query) -> Offer:
        bands = _bands(planned, query)
        frames = tuple(planned.frames[planned.bands.index(band)] for band in bands)
        flight = planned.flight
        who = f"{flight.platform or 'unknown'}/{flight.relative_orbit}/{str(planned.time)[:19]}"
        return Offer(
            key=f"{self.name}/{planned.group}/{who}", source=self.name, product=planned.group,
            group="sar" if planned.group == "sar" else "optical", time=planned.time, bands=bands,
            read=_Reader(frames, planned.mask), flight=flight, source_id=planned.source_id,
            offset_applied=planned.offset_applied, radiometry=planned.radiometry,
            estimated=planned.estimated, facts={"files": ", ".join(planned.files)},
        )  # fmt: skip

    def _layer(self, pieces: Sequence[Layer]) -> LayerOffer:
        name = pieces[0].band
        return LayerOffer(
            key=f"{self.name}/static/{name}", source=self.name, product="static", name=name,
            categorical=pieces[0].categorical, read=partial(read_layer, pieces),
            facts={"files": ", ".join(piece.name for piece in pieces)},
        )  # fmt: skip


def _bands(planned: PlannedAcquisition, query: Query) -> tuple[str, ...]:
    wanted = query.polarisations if planned.group == "sar" else query.bands
    return tuple(band for band in planned.bands if band in wanted) if wanted else planned.bands


def _wanted(planned: PlannedAcquisition, query: Query) -> bool:
    if planned.group == "sar" and not query.wants(planned.flight):
        return False
    asked = query.polarisations if planned.group == "sar" else query.bands
    return set(asked) <= set(planned.bands)


def _left_out(plan: Plan, chosen: int) -> tuple[str, ...]:
    rest = len(plan.planned) - chosen
    return (f"{plan.source}: {rest} acquisitions are outside the period or not asked for",) if rest else ()


@dataclass(frozen=True)
class _Reader:
    """Reads the pixels of one acquisition on a grid."""

    frames: tuple[tuple[Layer, ...], ...]
    mask: tuple[Layer, ...]

    def __call__(self, grid: GeoBox) -> Images:
        values = read_bands(self.frames, grid)
        if not self.mask:
            return Images(values)
        return Images(values, np.isfinite(values).all(axis=0) & read_clear(self.mask, grid))
