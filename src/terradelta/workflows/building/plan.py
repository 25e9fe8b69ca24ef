"""What a build would bring: offers of all sources joined, checked against each other and against the cube."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from odc.geo.geobox import GeoBox

from terradelta.cube import open_cube
from terradelta.cube.manifest import Manifest
from terradelta.cube.store import read_header, require_same
from terradelta.errors import ConflictError, SourceError
from terradelta.sources.remote.completing import complete_offer
from terradelta.sources.remote.offers import Findings, LayerOffer, Offer, Query, Source
from terradelta.sources.room import expected_bytes
from terradelta.sources.terrain import layer_from_file
from terradelta.workflows.building.passes import joined, without_held, without_known
from terradelta.workflows.building.request import Request

__all__ = ["BuildPlan", "plan_build"]

_NOTES = 3


@dataclass(frozen=True)
class BuildPlan:
    """What a build would bring.

    Attributes
    ----------
    cube : pathlib.Path
        The cube, there or not.
    request : Request
        What is asked for.
    offers : tuple of Offer
        Images of all sources, each pass once.
    layers : tuple of LayerOffer
        Layers without time, each name once.
    weather : tuple of str
        Files, folders and addresses with weather.
    manifest : Manifest or None
        Of the cube, if it is there.
    asked : tuple of str
        Parts of the period that need not be searched again.
    notes : tuple of str
        Lines worth reading.
    """

    cube: Path
    request: Request
    offers: tuple[Offer, ...]
    layers: tuple[LayerOffer, ...]
    weather: tuple[str, ...]
    manifest: Manifest | None
    asked: tuple[str, ...]
    notes: tuple[str, ...]

    @cached_property
    def new(self) -> tuple[Offer, ...]:
        """Images that the cube does not have, and that are not known to show nothing."""
        return tuple(one for one in self.offers if not self._settled(one.key, one.source_id))

    @cached_property
    def new_layers(self) -> tuple[LayerOffer, ...]:
        """Layers that the cube does not have."""
        return tuple(one for one in self.layers if not self._settled(one.key))

    def _settled(self, key: str, source_id: str = "") -> bool:
        return self.manifest is not None and self.manifest.settled(key, source_id)

    @property
    def fetched_bytes(self) -> int:
        """Bytes that are to be transferred, as far as the sources tell."""
        return sum(one.nbytes for one in self.new) + sum(one.nbytes for one in self.new_layers)

    @property
    def cube_bytes(self) -> int:
        """Size by which the cube is expected to grow."""
        groups = {name: [one for one in self.new if one.group == name] for name in ("sar", "optical")}
        bands = {name: max((len(one.bands) for one in some), default=0) for name, some in groups.items()}
        return expected_bytes(
            self.request.grid, sar=len(groups["sar"]), sar_bands=bands["sar"],
            optical=len(groups["optical"]), optical_bands=bands["optical"], layers=len(self.new_layers),
        )  # fmt: skip


def plan_build(
    cube: Path, request: Request, sources: Sequence[Source], tell: Callable[[str], None] = lambda name: None
) -> BuildPlan:
    """Ask all sources what they have; no pixels are read.

    Parameters
    ----------
    cube : pathlib.Path
        The cube, there or not.
    request : Request
        What is asked for.
    sources : sequence of Source
        In order of preference.
    tell : callable
        Called with the name of each source before it is asked.

    Raises
    ------
    AccessError, SourceError, UnavailableError
        A source cannot be asked, or nothing of the place and time is offered at all.
    ConflictError
        What is offered cannot lie in one cube: different radiometry or bands.
    """
    manifest = _manifest_of(cube, request)
    query = request.query()
    if manifest is not None:
        query = replace(query, asked=manifest.closed(request.document()))
    found = []
    for source, own in _queries(query, sources):
        tell(source.name)
        found.append(source.search(own))
    offers, notes = joined(found)
    layers = _layers(request, request.grid, found)
    if manifest is not None:
        offers, more = without_known(offers, manifest)
        layers, others = without_held(layers, manifest)
        notes += more + others
    files = [str(file) for one in found for file in one.weather]
    plan = BuildPlan(
        cube, request, tuple(complete_offer(one, request.grid) for one in offers),
        tuple(layers),
        tuple(dict.fromkeys((*request.asked["weather"], *files))),
        manifest, tuple(key for one in found for key in one.asked),
        tuple(dict.fromkeys((*request.notes, *(line for one in found for line in one.notes), *notes))),
    )  # fmt: skip
    if not any(one.offers for one in found) and not (plan.layers and query.products):
        raise SourceError(_nothing(request, sources, plan.notes))
    _require_one_kind(plan)
    return plan


def _manifest_of(cube: Path, request: Request) -> Manifest | None:
    """Open the manifest of the cube if there is one, and refuse a cube of another place."""
    if not cube.exists() or (cube.is_dir() and not any(cube.iterdir())):
        return None
    require_same(read_header(cube), request.grid, request.area.name)
    return Manifest(cube)


def _queries(query: Query, sources: Sequence[Source]) -> list[tuple[Source, Query]]:
    """Ask each source for those of the products that it has; every product must be somebody's."""
    takers = {
        name: [source for source in sources if not source.products or name in source.products]
        for name in query.products
    }
    unknown = next((name for name, some in takers.items() if not some), None)
    if unknown is not None:
        known = "; ".join(f"{source.name} has {', '.join(source.products)}" for source in sources)
        raise SourceError(f"no source has the product {unknown!r}: {known}")
    asked = [
        (source, replace(query, products=tuple(name for name, some in takers.items() if source in some)))
        for source in sources
    ]
    return [(source, own) for source, own in asked if own.products or not query.products]


def _nothing(request: Request, sources: Sequence[Source], notes: Sequence[str]) -> str:
    names = ", ".join(source.name for source in sources)
    west, south, east, north = request.area.bounds
    line = (
        f"{names}: nothing of {request.period} at {west:.4f},{south:.4f},{east:.4f},{north:.4f}; check the "
        "outline, the period, and products, orbits, bands and max-cloud"
    )
    more = [f"and {len(notes) - _NOTES} notes more"] if len(notes) > _NOTES else []
    return "; ".join([line, *notes[:_NOTES], *more])


def _layers(request: Request, grid: GeoBox, found: Sequence[Findings]) -> list[LayerOffer]:
    """Layers by name: files that the user named win over sources."""
    own = [
        layer_from_file(request.asked[name], name=name, grid=grid)
        for name in ("dem", "land_cover")
        if request.asked[name]
    ]
    by_name: dict[str, LayerOffer] = {}
    for layer in (*own, *(layer for one in found for layer in one.layers)):
        by_name.setdefault(layer.name, layer)
    return list(by_name.values())


def _require_one_kind(plan: BuildPlan) -> None:
    """Refuse to mix what measures different things; nothing is read before."""
    for group, cure in (("sar", "polarisations"), ("optical", "bands")):
        offers = [one for one in plan.offers if one.group == group]
        kinds = [(one, "/".join(sorted(one.bands))) for one in offers]
        _require_one(kinds, _in_cube(plan, group, "band"), cure)
    radar = [(one, one.radiometry) for one in plan.offers if one.group == "sar" and one.radiometry]
    _require_one(radar, _in_cube(plan, "sar", "radiometry"), "products")


def _require_one(offers: list[tuple[Offer, str]], there: str, cure: str) -> None:
    kinds = {kind: f"{one.source} {one.product}" for one, kind in reversed(offers)}
    if there:
        kinds = {there: "the cube", **{kind: who for kind, who in kinds.items() if kind != there}}
    if len(kinds) > 1:
        told = " and ".join(f"{kind} ({who})" for kind, who in list(kinds.items())[:2])
        raise ConflictError(f"one cube cannot hold {told}; choose with {cure}, or make another cube")


def _in_cube(plan: BuildPlan, group: str, what: str) -> str:
    """Tell the bands or the radiometry that a cube holds already, "" for none."""
    if plan.manifest is None:
        return ""
    tree = open_cube(plan.cube)
    if group not in tree.children:
        return ""
    values = [str(value) for value in tree[group].to_dataset()[what].values]
    if what == "band":
        return "/".join(sorted(values))
    return next((value for value in values if value), "")
