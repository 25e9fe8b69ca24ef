"""Samples with simulated changes in their target."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from terradelta.expected.samples.change_log import ChangeLog
from terradelta.expected.samples.sample import Sample
from terradelta.expected.samples.wanted import OWN, KnownLand, Wanted
from terradelta.simulate.injected import inject
from terradelta.simulate.streams import stream

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from terradelta.expected.samples.cube_images import CubeImages
    from terradelta.expected.samples.places import Place
    from terradelta.land import LandSource
    from terradelta.simulate.injected import Injected, Recipe
    from terradelta.types import FloatArray

__all__ = ["ChangedSamples", "change_sample", "change_samples", "sample_grid", "seed_of"]

_LOG = logging.getLogger(__name__)


def change_sample(
    sample: Sample,
    recipe: Recipe,
    *,
    seed: int,
    land: LandSource | None = None,
    target: FloatArray | None = None,
    areas: int = 50,
    grid: GeoBox | None = None,
) -> Sample:
    """Put simulated changes into the target of a sample.

    Parameters
    ----------
    sample : Sample
        Of the published files or of a cube. Changes that it already has are replaced.
    recipe : Recipe
        What changes; see `terradelta.simulate.injected`.
    seed : int
        The same seed, sample and recipe give the same changes.
    land : LandSource, optional
        Knows forest (for samples without a mask) and, for a statistical change, the open areas nearest to the
        middle of the sample, and their pixels in the target's acquisition.
    target : array (band, n), optional
        dB; pixels that forest shall look like after a statistical change, instead of those of `land`. Without
        both the sample's own pixels outside forest are taken.
    areas : int
        How many open areas.
    grid : GeoBox, optional
        Grid of the sample, where `land` has to tell the forest; by default a square of 3 km around
        its place, as in the published data.

    Returns
    -------
    Sample
        The same with ``changed`` (dB), ``change_mask``, ``superpixels`` and ``truth``. Without forest, or
        without pixels to look like, there are zero changes, ``truth`` is empty and a warning tells why.

    Raises
    ------
    InputError
        No forest is known at all; the land has no open areas; the place or the time is missing that the land
        is asked for.

    Notes
    -----
    The changes of Alatalo, Sipola, Rantonen, IEEE TGRS 61 (2023), section III-C.
    """
    changed, origin, why = _changed(sample, recipe, seed, KnownLand(land, target, areas), grid)
    if why:
        _LOG.warning("%s: no changes (%s)", sample.name, why)
    elif origin == OWN:
        _LOG.warning("%s: forest is made to look like the %s (no land given)", sample.name, OWN)
    return changed


def change_samples(
    samples: Iterable[Sample],
    recipe: Recipe,
    *,
    seed: int,
    land: LandSource | None = None,
    target: FloatArray | None = None,
    areas: int = 50,
    grids: Iterable[GeoBox | None] | None = None,
) -> Iterator[Sample]:
    """Put simulated changes into many samples; the draws of each follow from the seed and its name.

    Parameters
    ----------
    samples : iterable of Sample
        Taken one at a time; their order does not matter.
    recipe, land, target, areas
        As of `change_sample`.
    seed : int
        Of all.
    grids : iterable of GeoBox, optional
        Grid of each sample.

    Yields
    ------
    Sample
        With changes. How many have none, and why, is logged at the end.

    Raises
    ------
    InputError
        As `change_sample`.
    """
    log = ChangeLog()
    if grids is None:
        each: Iterator[tuple[Sample, GeoBox | None]] = zip(samples, repeat(None), strict=False)
    else:
        each = zip(samples, grids, strict=True)
    known = KnownLand(land, target, areas)
    for sample, grid in each:
        changed, origin, why = _changed(sample, recipe, seed_of(seed, sample.name), known, grid)
        log.take(changed, origin, why)
        yield changed
    log.tell()


class ChangedSamples(Sequence[Sample]):
    """Samples with simulated changes, made when they are asked for; equal to those of `change_samples`.

    Parameters
    ----------
    samples : sequence of Sample
        `SampleFile`, `RecordSamples`, `PlannedSamples` ...
    recipe, seed, land, target, areas
        As of `change_samples`.
    grids : sequence of GeoBox, optional
        Grid of each sample.
    land_name : str
        Names `land` in the digest; without it samples with land have none.
    log : ChangeLog, optional
        What counts the changes.

    Attributes
    ----------
    digest : str
        Tells samples, recipe, seed and land again, if the samples have a digest themselves; else "".
    log : ChangeLog
        What was made so far.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        recipe: Recipe,
        *,
        seed: int,
        land: LandSource | None = None,
        target: FloatArray | None = None,
        areas: int = 50,
        grids: Sequence[GeoBox | None] | None = None,
        land_name: str = "",
        log: ChangeLog | None = None,
    ) -> None:
        self._samples, self._recipe, self._seed = samples, recipe, seed
        self._land, self._grids = KnownLand(land, target, areas), grids
        self.log = ChangeLog() if log is None else log
        origin = str(getattr(samples, "digest", ""))
        known = bool(origin) and (land is None or bool(land_name))
        told = [origin, recipe.to_dict(), seed, areas, land_name, _digest(target)]
        text = json.dumps(told, sort_keys=True, default=list)
        self.digest = hashlib.sha256(text.encode()).hexdigest() if known else ""

    def __len__(self) -> int:
        """Count the samples."""
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        """Make a sample."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        sample = self._samples[index]
        grid = None if self._grids is None else self._grids[index]
        changed, origin, why = _changed(
            sample, self._recipe, seed_of(self._seed, sample.name), self._land, grid
        )
        self.log.take(changed, origin, why)
        return changed


def seed_of(seed: int, name: str) -> int:
    """Give the seed of one sample.

    Parameters
    ----------
    seed : int
        Of all samples.
    name : str
        Of this one.

    Returns
    -------
    int

    Examples
    --------
    >>> seed_of(1, "a") == seed_of(1, "a"), seed_of(1, "a") == seed_of(1, "b")
    (True, False)
    """
    return int(stream(seed, "sample", name).integers(2**62))


def sample_grid(cube: CubeImages, place: Place) -> GeoBox:
    """Give the grid of a sample that is drawn from a cube.

    Parameters
    ----------
    cube : CubeImages
        The cube.
    place : Place
        Where the sample lies.

    Returns
    -------
    GeoBox
        Its pixels, in the cube's CRS; the sample shows the nearest pixels of the cube.
    """
    from affine import Affine
    from odc.geo.geobox import GeoBox

    grid = place.grid
    affine = cube.geobox.affine @ Affine.translation(grid.x, grid.y) @ Affine.scale(grid.step_x, grid.step_y)
    return GeoBox((grid.size, grid.size), affine, cube.geobox.crs)


def _changed(
    sample: Sample, recipe: Recipe, seed: int, land: KnownLand, grid: GeoBox | None
) -> tuple[Sample, str, str]:
    """Change a sample; also tell where the target's pixels are from, and why there are no changes."""
    allowed = land.forest(sample, grid)
    target = Wanted()
    if recipe.kind == "statistical" and allowed.any():
        target = land.target(sample, allowed)
    if target.why:
        allowed = np.zeros_like(allowed)
    done = inject(sample.target, allowed, recipe, seed=seed, target=target.pixels)
    changed = replace(
        sample,
        changed=np.asarray(done.image, np.float32),
        change_mask=np.asarray(done.mask, np.int32),
        superpixels=None if done.superpixels is None else np.asarray(done.superpixels, np.int64),
        truth=_truth(done, sample, target.origin),
    )
    return changed, target.origin, target.why or done.why


def _truth(done: Injected, sample: Sample, origin: str) -> tuple[dict[str, Any], ...]:
    date = "" if sample.time is None else str(sample.time.astype("datetime64[D]"))
    more = {"from": origin} if origin else {}
    return tuple(
        {
            "number": int(change.number),
            "kind": change.kind,
            "strength": [float(value) for value in change.change] if change.pixels else None,
            "pixels": int(change.pixels),
            "date": date,
            **more,
        }
        for change in done.changes
    )


def _digest(pixels: FloatArray | None) -> str:
    return "" if pixels is None else hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
