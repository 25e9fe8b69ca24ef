"""Drawing samples from a cube: random places and dates, reproducible, nothing shared between parts."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from terradelta.errors import InputError
from terradelta.expected.conditions import GROUPS, WEATHER
from terradelta.expected.samples.cube_images import CubeImages, Grid, require_known
from terradelta.expected.samples.places import Part, Place, SamplePlan
from terradelta.expected.samples.planned import PlannedSamples, read_sample
from terradelta.expected.samples.splits import Share, make_shares

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

    from terradelta.types import PathType

__all__ = ["Part", "Place", "PlannedSamples", "SamplePlan", "plan_samples", "read_sample"]

_LOG = logging.getLogger(__name__)
_LAYERS = ("dem", "forest")


class _Rule(NamedTuple):
    """What a sample is made of."""

    previous: int
    size: int
    step: tuple[float, float]
    orbits: tuple[int, ...]
    same_orbit: bool
    least_valid: float

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns of the cube that a sample covers."""
        height, width = (max(math.ceil(self.size * step - 1e-9), 1) for step in self.step)
        return height, width


def plan_samples(
    cube: CubeImages | PathType | xr.DataTree,
    *,
    count: int | Mapping[Part, int],
    seed: int = 0,
    previous: int = 4,
    size: int = 512,
    spacing: float | None = None,
    split_time: Any = None,
    areas: Mapping[Part, float] | None = None,
    guard: int = 0,
    orbits: Sequence[int] = (),
    same_orbit: bool = False,
    least_valid: float = 0.1,
    require: Sequence[str] = (),
) -> SamplePlan:
    """Draw samples: each a random place, a random image as the target, and the images before it.

    Parameters
    ----------
    cube : path-like, DataTree or CubeImages
        Where to draw from.
    count : int or mapping
        Number of samples of every part, or by part; fewer if there are not so many different ones.
    seed : int
        The same seed, cube and settings give the same samples.
    previous : int
        Previous images of each sample.
    size : int
        Edge in pixels of the sample.
    spacing : float or None
        Metres between pixels of the sample, nearest neighbour (published: 3000 / 512); None = the cube's.
    split_time : time, pair of times or None
        One: every image of a training sample lies before it, every image of a test sample at or after it.
        Two: validation between them.
    areas : mapping or None
        Share of the area by part, e.g. ``{"train": 0.7, "validation": 0.15, "test": 0.15}``: disjoint strips.
    guard : int
        Pixels of the cube between two strips that no part may use.
    orbits : sequence of int
        Only images of these relative orbits; none named = all.
    same_orbit : bool
        Previous images from the relative orbit of the target only.
    least_valid : float
        Share of the target's pixels that must hold data, 0..1; places with less are drawn anew and counted.
    require : sequence of str
        What must be known: names of `conditions.GROUPS`, ``"weather"``, ``"dem"``, ``"forest"``.

    Returns
    -------
    SamplePlan
        The samples.

    Raises
    ------
    InputError
        A cube smaller than a sample, too few images before any target, a part without room, something
        required that is unknown, or settings that make no sense.

    Examples
    --------
    >>> from terradelta.simulate import place
    >>> plan = plan_samples(place(seed=0, size=48, years=0.4, changes=0), count=3, size=32)
    >>> len(plan), plan.previous, plan.size
    (3, 4, 32)
    """
    images = cube if isinstance(cube, CubeImages) else CubeImages(cube)
    step = _step(images, spacing)
    rule = _Rule(previous, size, step, tuple(int(orbit) for orbit in orbits), same_orbit, least_valid)
    _check_rule(images, rule)
    _require_layers(images, require)
    counts = dict(count) if isinstance(count, Mapping) else None
    places: list[Place] = []
    left_out = 0
    for share in make_shares(images.size, split_time, areas, guard=guard, seed=seed):
        number = count if isinstance(count, int) else (counts or {}).pop(share.part, 0)
        if number:
            drawn, empty = _draw(images, share, rule, number, seed)
            places, left_out = [*places, *drawn], left_out + empty
    _check_counts(counts, places)
    plan = SamplePlan(tuple(places), images.bands, "", images.name, seed, left_out)
    _require_conditions(images, plan, require)
    return SamplePlan(plan.places, images.bands, images.digest(plan.acquired), images.name, seed, left_out)


def _step(images: CubeImages, spacing: float | None) -> tuple[float, float]:
    if spacing is None:
        return 1.0, 1.0
    crs = images.geobox.crs
    if crs is None or crs.geographic:
        raise InputError(
            "spacing is in metres, but the cube's grid is in degrees; leave spacing out, or build the cube "
            "on a projected grid"
        )
    if not spacing > 0:
        raise InputError(f"spacing is {spacing!r}; give metres above 0")
    return spacing / abs(images.geobox.affine.e), spacing / abs(images.geobox.affine.a)


def _check_rule(images: CubeImages, rule: _Rule) -> None:
    if rule.previous < 1 or rule.size < 1:
        raise InputError(f"previous is {rule.previous} and size {rule.size}; give at least 1 of each")
    if not 0 <= rule.least_valid <= 1:
        raise InputError(f"least_valid is {rule.least_valid}; give a share of pixels, 0..1")
    height, width = rule.extent
    if height > images.size[0] or width > images.size[1]:
        raise InputError(
            f"the cube has {images.size[0]} x {images.size[1]} pixels, fewer than the {height} x {width} "
            f"that a sample of size {rule.size} covers; give a smaller size (or spacing), or a larger cube"
        )
    unknown = sorted(set(rule.orbits) - {int(orbit) for orbit in images.orbits})
    if unknown:
        known = ", ".join(str(orbit) for orbit in sorted({int(orbit) for orbit in images.orbits}))
        raise InputError(f"no image is from orbit {unknown[0]}; the cube has {known}")


def _require_layers(images: CubeImages, require: Sequence[str]) -> None:
    known = (*_LAYERS, "weather", *GROUPS)
    for name in require:
        if name not in known:
            raise InputError(f"require names {name!r}; expected {', '.join(known)}")
        if name in _LAYERS and not images.has_layer(name):
            raise InputError(
                f"the cube has no layer {name}; add it with terradelta.cube.write_static, "
                "or leave it out of require"
            )


def _require_conditions(images: CubeImages, plan: SamplePlan, require: Sequence[str]) -> None:
    groups = [name for name in require if name in GROUPS]
    groups += WEATHER if "weather" in require else ()
    if groups:
        for place in plan.places:
            conditions = images.conditions(images.find(place.images), place.grid)
            require_known(conditions, groups, f"sample of {place.target.time[:19]}")


def _check_counts(counts: Mapping[Part, int] | None, places: Sequence[Place]) -> None:
    unused = [part for part, number in (counts or {}).items() if number]
    if unused:
        raise InputError(
            f"count asks for {', '.join(unused)}, but there is no such part; give split_time or areas with it"
        )
    if not places:
        raise InputError("count is 0 for every part; give at least one sample")


def _draw(images: CubeImages, share: Share, rule: _Rule, count: int, seed: int) -> tuple[list[Place], int]:
    """Draw different places and targets until there are enough with data."""
    stacks = _stacks(images, share, rule)
    rows, columns = share.area.positions(*rule.extent)
    if rows < 1 or columns < 1:
        area = share.area
        raise InputError(
            f"part {share.part} has {area.y_stop - area.y_start} x {area.x_stop - area.x_start} pixels, "
            f"a sample of size {rule.size} needs {rule.extent[0]} x {rule.extent[1]}; "
            "give it a larger share, split by time (split_time), or choose a smaller size"
        )
    places: list[Place] = []
    left_out = 0
    for number in _different(seed, share.part, len(stacks) * rows * columns):
        stack, row, column = np.unravel_index(number, (len(stacks), rows, columns))
        grid = Grid(share.area.y_start + int(row), share.area.x_start + int(column), rule.size, *rule.step)
        target = stacks[int(stack)][-1]
        if rule.least_valid and images.valid_share(target, grid) < rule.least_valid:
            left_out += 1
        else:
            acquired = tuple(images.acquired(image) for image in stacks[int(stack)])
            places.append(Place(share.part, grid, acquired))
        if len(places) == count or (not places and left_out >= 1000):
            break
    _tell(share.part, len(places), count, left_out, rule.least_valid)
    return places, left_out


def _stacks(images: CubeImages, share: Share, rule: _Rule) -> list[list[int]]:
    """List previous images and target, for every image that can be a target."""
    allowed = share.within(images.times)
    if rule.orbits:
        allowed &= np.isin(images.orbits.astype(int), rule.orbits)
    stacks = []
    for target in np.flatnonzero(allowed):
        before = allowed & (images.times < images.times[target])
        if rule.same_orbit:
            before &= images.orbits == images.orbits[target]
        earlier = np.flatnonzero(before)
        if len(earlier) >= rule.previous:
            stacks.append([*(int(image) for image in earlier[-rule.previous :]), int(target)])
    if not stacks:
        same = " on one orbit" if rule.same_orbit else ""
        raise InputError(
            f"part {share.part} has {int(allowed.sum())} images, too few for a target with {rule.previous} "
            f"previous ones{same}; lower previous, move split_time, or add images to the cube"
        )
    return stacks


def _different(seed: int, part: Part, total: int) -> Iterator[int]:
    """Draw whole numbers below a total, each once, in random order."""
    stream = np.random.default_rng([seed, 2, *part.encode()])
    if total <= 2**20:
        yield from (int(number) for number in stream.permutation(total))
        return
    seen: set[int] = set()
    while len(seen) < total // 2:
        number = int(stream.integers(total))
        if number not in seen:
            seen.add(number)
            yield number


def _tell(part: Part, found: int, count: int, left_out: int, least_valid: float) -> None:
    if not found:
        raise InputError(
            f"part {part}: each of {left_out} places had data in less than {least_valid:g} of the "
            "target's pixels; lower least_valid, or look at the cube with `terradelta cube info`"
        )
    if left_out:
        _LOG.warning(
            "part %s: %d places left out, data in less than %g of their pixels", part, left_out, least_valid
        )
    if found < count:
        _LOG.warning(
            "part %s: %d samples, there are no more different ones (asked for %d)", part, found, count
        )
