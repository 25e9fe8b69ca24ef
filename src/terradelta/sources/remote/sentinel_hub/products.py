"""Products by the names that users give, and their offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from terradelta.errors import SourceError
from terradelta.sources.decodings import BASELINE_WITH_OFFSET, OFFSET_SINCE
from terradelta.sources.remote.offers import LayerOffer, Offer, Query
from terradelta.sources.remote.sentinel_hub.deployments import Deployment, Patience
from terradelta.sources.remote.sentinel_hub.passes import Frame, Pass
from terradelta.sources.remote.sentinel_hub.processing import Blocks, HeightReader, ImageReader
from terradelta.sources.remote.sentinel_hub.recipes import (
    BACKSCATTER,
    L1C_BANDS,
    L2A_BANDS,
    POLARISATIONS,
    Recipe,
    dem,
    optical,
    radar,
)
from terradelta.sources.times import Time

__all__ = ["PRODUCTS", "USUAL", "Product", "Shop", "moment", "wanted"]


@dataclass(frozen=True)
class Product:
    """What a name stands for.

    Attributes
    ----------
    collection : str
        The service's collection.
    radiometry : str
        What radar values measure, by our names.
    elevation : str
        Elevation model: the layer itself.
    bands : tuple of str
        All optical bands.
    """

    collection: str
    radiometry: str = ""
    elevation: str = ""
    bands: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """Give "sar", "optical", or "" for a layer without time."""
        return "sar" if self.radiometry else "optical" if self.bands else ""


_GRD = "sentinel-1-grd"
PRODUCTS = {
    _GRD: Product(_GRD, radiometry="gamma0-rtc"),
    f"{_GRD}-gamma0-ellipsoid": Product(_GRD, radiometry="gamma0-ellipsoid"),
    f"{_GRD}-sigma0-ellipsoid": Product(_GRD, radiometry="sigma0-ellipsoid"),
    "sentinel-2-l1c": Product("sentinel-2-l1c", bands=L1C_BANDS),
    "sentinel-2-l2a": Product("sentinel-2-l2a", bands=L2A_BANDS),
    "dem": Product("dem", elevation="COPERNICUS_30"),
    "dem-90": Product("dem", elevation="COPERNICUS_90"),
}
"""All products by name."""

USUAL = (_GRD, "sentinel-2-l1c", "dem")
"""Products unless told otherwise."""


def wanted(frame: Frame, query: Query) -> bool:
    """Whether a frame is of a track and polarisation that is asked for; optical frames always are."""
    if frame.group == "optical":
        return True
    there = POLARISATIONS.get(frame.polarisation, ())
    return set(query.polarisations) <= set(there) and query.wants(frame.flight)


def moment(time: Time) -> str:
    """Write a time as the service reads it.

    Examples
    --------
    >>> import numpy as np
    >>> moment(np.datetime64("2020-06-01T12:30", "ns"))
    '2020-06-01T12:30:00Z'
    """
    return f"{time.astype('datetime64[s]')}Z"


@dataclass(frozen=True)
class Shop:
    """Makes offers of one deployment for one query.

    Attributes
    ----------
    deployment, patience
        Where and how patiently readers ask.
    elevation : str
        Elevation model of the orthorectification.
    query : Query
        What is asked for.
    blocks : Blocks
        Those of the query's grid.
    """

    deployment: Deployment
    patience: Patience
    elevation: str
    query: Query
    blocks: Blocks

    def offer(self, name: str, one: Pass) -> Offer:
        """Give the offer of a pass.

        Raises
        ------
        SourceError
            A band that the product lacks.
        """
        return self._radar(name, one) if PRODUCTS[name].group == "sar" else self._optical(name, one)

    def layer(self, name: str) -> LayerOffer:
        """Give the offer of an elevation model."""
        product, source = PRODUCTS[name], self.deployment.name
        recipe = dem(product.elevation)
        nbytes, units = self.blocks.estimate(recipe)
        return LayerOffer(
            key=f"{source}/dem/{product.elevation}", source=source, product=name, name="dem",
            categorical=False, read=HeightReader(self.deployment, self.patience, recipe), nbytes=nbytes,
            facts={
                "model": product.elevation, "heights": "m above the geoid", "resampling": "bilinear",
                "processing_units": f"{units:.3g}",
            },
        )  # fmt: skip

    def _radar(self, name: str, one: Pass) -> Offer:
        first, radiometry = one.frames[0], PRODUCTS[name].radiometry
        recipe = radar(
            self.query.polarisations,
            first.polarisation,
            first.flight.orbit_direction,
            radiometry,
            self.elevation,
        )
        about = {
            "backscatter": BACKSCATTER[radiometry],
            "orthorectified": f"{self.elevation}, bilinear in linear power",
        }
        return Offer(
            key=f"{self.deployment.name}/{_GRD}/{radiometry}/{_flown(one)}", product=name, group="sar",
            radiometry=radiometry, **self._common(recipe, one, about),
        )  # fmt: skip

    def _optical(self, name: str, one: Pass) -> Offer:
        recipe = optical(name, self._bands(name), self.deployment)
        baseline = max(frame.baseline for frame in one.frames)
        shifted = baseline >= BASELINE_WITH_OFFSET or (not baseline and bool(one.start >= OFFSET_SINCE))
        about = {
            "harmonised": "by the service: DN of all baselines alike, below 0 is 0",
            "scale": "0.0001",
            "cloud_mask": f"{recipe.mask} of {recipe.mask_collection or name}",
            "resampling": str(recipe.processing["upsampling"]).lower(),
        }
        if baseline:
            about["baseline"] = f"{baseline:04d}"
        return Offer(
            key=f"{self.deployment.name}/{name}/{_flown(one)}", product=name, group="optical",
            offset_applied=shifted, **self._common(recipe, one, about),
        )  # fmt: skip

    def _common(self, recipe: Recipe, one: Pass, about: dict[str, str]) -> dict[str, Any]:
        """Give what offers of both sensors have."""
        interval = moment(one.span[0]), moment(one.span[1])
        nbytes, units = self.blocks.estimate(recipe, one.footprint)
        facts = about | {"frames": str(len(one.frames)), "processing_units": f"{units:.3g}"}
        if one.replaced:
            facts["replaced"] = f"{len(one.replaced)} older processings of the same frames"
        return {
            "source": self.deployment.name, "time": one.start, "bands": recipe.bands,
            "read": ImageReader(self.deployment, self.patience, recipe, interval, one.footprint),
            "flight": one.frames[0].flight, "source_id": one.source_id, "nbytes": nbytes, "facts": facts,
        }  # fmt: skip

    def _bands(self, name: str) -> tuple[str, ...]:
        there, asked = PRODUCTS[name].bands, self.query.bands
        missing = [band for band in asked if band not in there]
        if missing:
            raise SourceError(f"{name} has no band {', '.join(missing)}; it has {', '.join(there)}")
        return asked or there


def _flown(one: Pass) -> str:
    """Platform, relative orbit and start of a pass, for keys."""
    flight = one.frames[0].flight
    when = moment(one.start)[:-1].replace("-", "").replace(":", "")
    return f"{flight.platform}/{flight.relative_orbit:03d}/{when}"
