"""SAFE products that lie beside processed files: which one belongs to an image, and what it adds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from terradelta.errors import SourceError
from terradelta.sources.layers import Flight, Layer
from terradelta.sources.safe.archive import MANIFEST
from terradelta.sources.safe.product import SafeProduct, read_safe

__all__ = ["Safes", "find_safes", "is_safe"]

_NAME = re.compile(r"S1[A-D]_(IW|EW|WV|S[1-6])_(GRD|SLC)[FHM_]_\w{4}_\d{8}T\d{6}_\w+", re.IGNORECASE)
_SAME = np.timedelta64(1, "s")


def is_safe(path: Path) -> bool:
    """Tell whether a path is named like a Sentinel-1 SAFE product, as a folder or zipped."""
    ending = path.suffix.upper()
    return bool(_NAME.match(path.name)) and ending in (".SAFE", ".ZIP")


def find_safes(folder: Path) -> list[Path]:
    """Give the Sentinel-1 SAFE products in a folder and one level below it, or the folder if it is one."""
    if (folder / MANIFEST).is_file() or (folder.is_file() and is_safe(folder)):
        return [folder]
    found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if is_safe(path)]
    return sorted(set(found))


@dataclass(frozen=True)
class Safes:
    """SAFE products that tell about images.

    Attributes
    ----------
    products : tuple of SafeProduct
        All of them.
    """

    products: tuple[SafeProduct, ...] = ()

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Safes:
        """Read products."""
        return cls(tuple(read_safe(path) for path in paths))

    def product_of(self, layer: Layer) -> SafeProduct | None:
        """Give the product an image was made from: by the product's name in its own, else by its time.

        Raises
        ------
        SourceError
            Image and product contradict each other.
        """
        if layer.group != "sar" or layer.time is None:
            return None
        for product in self.products:
            if product.name in (layer.product, layer.raw.path.name.split(".")[0]):
                return _agreeing(product, layer)
        near = [one for one in self.products if abs(one.start.astype("M8[s]") - layer.time) < _SAME]
        if not near:
            return None
        own = [one for one in near if one.platform == layer.flight.platform]
        return _agreeing((own or near)[0], layer)

    def informed(self, layer: Layer) -> Layer:
        """Give an image with the pass that its product tells, if there is one.

        Raises
        ------
        SourceError
            Image and product contradict each other.
        """
        product = self.product_of(layer)
        if product is None:
            return layer
        guesses = tuple(name for name in layer.estimated if name != "orbit_direction")
        return replace(layer, flight=_joined(layer.flight, product.flight), estimated=guesses)


def _agreeing(product: SafeProduct, layer: Layer) -> SafeProduct:
    """Refuse a product that tells another pass than the image's name, tags or settings."""
    flight = layer.flight
    pairs = [
        ("platform", flight.platform, product.platform),
        ("relative orbit", flight.relative_orbit, product.relative_orbit),
    ]
    if "orbit_direction" not in layer.estimated:
        pairs.append(("orbit direction", flight.orbit_direction, product.orbit_direction))
    for what, own, told in pairs:
        if own and own != told:
            raise SourceError(
                f"{layer.name}: {what} is {own}, but {told} in {product.archive.path.name}; "
                "remove the one that is wrong, or rename it"
            )
    return product


def _joined(own: Flight, told: Flight) -> Flight:
    """Keep what an image tells itself, but not a direction guessed by the sun."""
    return replace(
        told,
        incidence_angle=own.incidence_angle,
        heading=told.heading if math.isnan(own.heading) else own.heading,
    )
