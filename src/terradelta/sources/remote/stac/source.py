"""A STAC catalogue as a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from terradelta.errors import InputError, SourceError
from terradelta.sources.area import search_boxes
from terradelta.sources.remote.offers import Findings, LayerOffer, Offer, Period, Query
from terradelta.sources.remote.retrying import PATIENCE, Patience
from terradelta.sources.remote.stac.items import Item
from terradelta.sources.remote.stac.joining import join
from terradelta.sources.remote.stac.layers import layer_of
from terradelta.sources.remote.stac.profile import ProductProfile, Profile, load_profile, profile_names
from terradelta.sources.remote.stac.reading import Opening
from terradelta.sources.remote.stac.scenes import Scene, recognised, scene_of

if TYPE_CHECKING:
    from terradelta.sources.remote.stac.client import Catalogue

__all__ = ["StacSource"]

_ROOTS = ("catalog.json", "collection.json")
_MARGIN = np.timedelta64(5, "m")


@dataclass(frozen=True)
class StacSource:
    """A STAC API or a static STAC catalogue.

    Parameters
    ----------
    where : str
        Name of a profile ("earth-search", "planetary-computer", "copernicus"), path of a profile of one's
        own (.yaml), or address of a catalogue: of an API, or a path or an address of a catalog.json,
        collection.json (or the folder that holds one) or a GeoJSON file with items.
    address : str
        Where a profile's catalogue is to be asked instead, for mirrors.
    patience : Patience
        How often and how long to try.

    Examples
    --------
    >>> StacSource("earth-search").products
    ('sentinel-2-l2a', 'sentinel-2-c1-l2a', 'sentinel-2-l1c', 'sentinel-1-grd', 'cop-dem-glo-30',
     'cop-dem-glo-90')
    """

    where: str
    address: str = ""
    patience: Patience = PATIENCE

    @cached_property
    def profile(self) -> Profile:
        """What is known about the catalogue.

        Raises
        ------
        ConfigError
            A wrong profile.
        SourceError
            Neither a profile nor an address.
        """
        if self.where in profile_names() or self.where.endswith((".yaml", ".yml")):
            profile = load_profile(self.where)
            return profile.model_copy(update={"address": self.address}) if self.address else profile
        parts = urlsplit(self.where)
        if parts.scheme in ("http", "https"):
            return Profile(name=parts.netloc, address=self.where)
        path = Path(self.where.removeprefix("file://"))
        if not path.exists():
            names = ", ".join(profile_names())
            raise SourceError(f"{self.where}: no catalogue; give {names}, a profile (.yaml) or an address")
        if path.is_dir():
            path = next((path / name for name in _ROOTS if (path / name).is_file()), path / _ROOTS[0])
        return Profile(name=path.resolve().parent.name, address=str(path.resolve()))

    @property
    def name(self) -> str:
        """Name for messages and keys."""
        return self.profile.name

    @property
    def products(self) -> tuple[str, ...]:
        """Names of the products that the profile knows."""
        return tuple(self.profile.products)

    def search(self, query: Query) -> Findings:
        """Look through the catalogue; no pixels are read.

        Raises
        ------
        UnavailableError
            The server does not answer as it should.
        AccessError
            It wants credentials.
        SourceError
            No catalogue, an unknown product, or one that cannot be used.
        """
        try:
            from terradelta.sources.remote.stac.client import open_catalogue
        except ImportError as error:
            raise InputError(
                f"catalogues need {error.name}; install it with: pip install 'terradelta[stac]'"
            ) from error
        wanted = self._wanted(query)
        catalogue = open_catalogue(self.profile.address, self.patience)
        offers: list[Offer] = []
        layers: list[LayerOffer] = []
        notes: list[str] = []
        for product, told in wanted.items():
            if told.kind in ("dem", "land_cover"):
                layer, note = self._layer(catalogue, product, told, query)
                layers += [layer] if layer is not None else []
                notes += [note] if note else []
            else:
                found = self._items(catalogue, [told.collection], told, query)
                offers += self._offers([(item, product, told) for item in found], query, notes)
        if not wanted:
            found = self._items(catalogue, self._collections(catalogue, query), None, query)
            offers += self._offers(
                [(item, item.collection, recognised(item)) for item in found], query, notes
            )
        begun = sorted(
            (one for one in offers if one.time in query.period), key=lambda one: (one.time, one.key)
        )
        return Findings(offers=tuple(begun), layers=tuple(layers), notes=tuple(notes))

    def _wanted(self, query: Query) -> dict[str, ProductProfile]:
        """Products that are asked for; none where items have to be recognised."""
        known = self.profile.products
        names = (query.products or self.profile.defaults) if known else ()
        for name in names:
            if name not in known:
                raise SourceError(f"{self.name} has no product {name!r}; it has {', '.join(known)}")
            if known[name].refused:
                raise SourceError(f"{self.name}: {name} cannot be used: {known[name].refused}")
        return {name: known[name] for name in names}

    def _collections(self, catalogue: Catalogue, query: Query) -> list[str]:
        if catalogue.api and not query.products:
            names = catalogue.collections()
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            raise SourceError(f"{self.name}: say which products; it has {', '.join(names[:20])}{more}")
        return list(query.products)

    def _items(
        self, catalogue: Catalogue, collections: list[str], told: ProductProfile | None, query: Query
    ) -> Iterator[Item]:
        """Items of the place and the time, whatever the server filters."""
        around = _widened(query)
        start, end = (f"{moment.astype('datetime64[s]')}Z" for moment in around)
        boxes = search_boxes(query.area)
        limits = self._limits(told, query)
        size = self.profile.page_size
        for item in catalogue.items(collections, boxes, f"{start}/{end}", limits, size):
            if item.meets(query.area.outline) and (item.time is None or item.time in around):
                yield item

    def _limits(self, told: ProductProfile | None, query: Query) -> dict[str, Any]:
        """Give what the server may filter; it is filtered again here."""
        if told is None:
            return {}
        if told.kind == "optical":
            return {self.profile.cloud: {"lte": query.max_cloud}} if query.max_cloud < 100 else {}
        limits: dict[str, Any] = {}
        if query.orbits:
            limits[self.profile.relative_orbit] = {"in": list(query.orbits)}
        if query.direction:
            limits[self.profile.direction] = {"eq": query.direction}
        return limits

    def _offers(
        self, found: Iterable[tuple[Item, str, ProductProfile | str]], query: Query, notes: list[str]
    ) -> list[Offer]:
        scenes: list[Scene] = []
        reasons: Counter[str] = Counter()
        for item, product, told in found:
            scene = self._scene(item, product, told, query)
            if isinstance(scene, Scene):
                scenes.append(scene)
            elif scene:
                reasons[f"{product}: {scene}"] += 1
        notes += [
            f"{self.name}: {count} items left out, {reason}" for reason, count in sorted(reasons.items())
        ]
        guessed = sum(scene.offset is not None and "guessed" in scene.offset.why for scene in scenes)
        if guessed:
            notes.append(f"{self.name}: {guessed} items do not tell their processing baseline; "
                         "the Sentinel-2 offset is guessed by their date")  # fmt: skip
        return join(scenes, self.name, Opening(self.profile.access, self.patience), query.grid)

    def _scene(self, item: Item, product: str, told: ProductProfile | str, query: Query) -> Scene | str:
        """Understand an item, or say why it is left out; "" where it is not asked for."""
        if isinstance(told, str):
            return told
        scene = scene_of(item, product, told, query.polarisations if told.kind == "sar" else query.bands)
        if isinstance(scene, str):
            return scene
        if scene.group == "sar":
            return scene if query.wants(scene.flight) else ""
        return "" if item.number(self.profile.cloud) > query.max_cloud else scene

    def _layer(
        self, catalogue: Catalogue, product: str, told: ProductProfile, query: Query
    ) -> tuple[LayerOffer | None, str]:
        boxes = search_boxes(query.area)
        found = catalogue.items([told.collection], boxes, None, {}, self.profile.page_size)
        items = [item for item in found if item.meets(query.area.outline)]
        return layer_of(items, product, told, self.name, Opening(self.profile.access, self.patience), query)


def _widened(query: Query) -> Period:
    """Give the period in which all parts of a pass lie, also for servers that know them by their middle."""
    return Period(query.period.start - _MARGIN, query.period.end + _MARGIN)
