"""Samples of a plan, read from the cube they were drawn from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from terradelta.expected.samples.cube_images import CubeImages
from terradelta.expected.samples.sample import Sample

if TYPE_CHECKING:
    import xarray as xr

    from terradelta.expected.samples.places import Part, Place, SamplePlan
    from terradelta.types import PathType

__all__ = ["PlannedSamples", "read_sample"]


def read_sample(cube: CubeImages | PathType | xr.DataTree, place: Place) -> Sample:
    """Read one sample from a cube, with the nearest pixels; what is missing stays missing.

    Parameters
    ----------
    cube : CubeImages, path-like or DataTree
        Where it is drawn from; open it once as `CubeImages` to read many.
    place : Place
        Where and when.

    Returns
    -------
    Sample
        dB; elevation and forest None, conditions NaN where the cube has none.

    Raises
    ------
    CubeError
        The cube does not hold the images.
    """
    images = cube if isinstance(cube, CubeImages) else CubeImages(cube)
    numbers = images.find(place.images)
    decibel = images.decibel(numbers, place.grid)
    return Sample(
        name=f"{images.name or 'cube'} {place.target.time[:19]} row {place.grid.y} column {place.grid.x}",
        images=decibel[:-1],
        target=decibel[-1],
        conditions=images.conditions(numbers, place.grid),
        bands=images.bands,
        dem=images.layer("dem", place.grid),
        forest=images.layer("forest", place.grid),
        time=images.times[numbers[-1]],
        location=images.location(place.grid),
    )


class PlannedSamples(Sequence[Sample]):
    """Samples of a plan, read from the cube when they are asked for.

    Parameters
    ----------
    cube : path-like or DataTree
        The cube; each process opens it for itself.
    plan : SamplePlan
        Which samples.
    part : "train", "validation", "test" or None
        Only these; None takes all.

    Raises
    ------
    ConflictError
        The plan was drawn from another cube.
    """

    def __init__(
        self, cube: CubeImages | PathType | xr.DataTree, plan: SamplePlan, part: Part | None = None
    ) -> None:
        self._cube = cube if isinstance(cube, CubeImages) else CubeImages(cube)
        plan.check(self._cube)
        self.places = plan.places if part is None else plan.of(part)
        self.digest = hashlib.sha256(f"{plan.digest} {part}".encode()).hexdigest()

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        """Read a sample."""
        if isinstance(index, slice):
            return [read_sample(self._cube, place) for place in self.places[index]]
        return read_sample(self._cube, self.places[index])
