"""Where and when samples are taken from a cube: a list that is drawn once, saved, and read back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from terradelta.cube.files import storage_errors, write_json
from terradelta.errors import ConflictError, InputError
from terradelta.expected.samples.cube_images import Acquired, Grid

if TYPE_CHECKING:
    from terradelta.expected.samples.cube_images import CubeImages
    from terradelta.types import PathType

__all__ = ["Part", "Place", "SamplePlan"]

Part = Literal["train", "validation", "test"]
"""What a sample is for."""

_FORMAT = "terradelta sample plan"
_VERSION = 1


@dataclass(frozen=True)
class Place:
    """Where and when one sample is taken.

    Attributes
    ----------
    part : "train", "validation" or "test"
        What it is for.
    grid : Grid
        Its pixels in the cube.
    images : tuple of Acquired
        Previous images, oldest first, and last the target.
    """

    part: Part
    grid: Grid
    images: tuple[Acquired, ...]

    @property
    def target(self) -> Acquired:
        """The image to expect."""
        return self.images[-1]


@dataclass(frozen=True)
class SamplePlan:
    """Samples to take from a cube.

    Attributes
    ----------
    places : tuple of Place
        The samples, part by part, in random order.
    bands : tuple of str
        Names of the bands.
    cube_digest : str
        Tells the cube again; images appended later do not matter.
    cube_name : str
        Name of the cube, for messages.
    seed : int
        What they were drawn with.
    left_out : int
        Places that were drawn but had too few pixels with data.
    """

    places: tuple[Place, ...]
    bands: tuple[str, ...]
    cube_digest: str
    cube_name: str = ""
    seed: int = 0
    left_out: int = 0

    def __len__(self) -> int:
        """Count the samples of all parts."""
        return len(self.places)

    @property
    def size(self) -> int:
        """Edge of the samples in pixels."""
        return self.places[0].grid.size

    @property
    def previous(self) -> int:
        """Number of previous images of each sample."""
        return len(self.places[0].images) - 1

    @cached_property
    def acquired(self) -> tuple[Acquired, ...]:
        """All images that are used, in the order of time."""
        return tuple(sorted({image for place in self.places for image in place.images}))

    @cached_property
    def digest(self) -> str:
        """Sum up the whole plan."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()

    def of(self, part: Part) -> tuple[Place, ...]:
        """Give the samples of one part.

        Parameters
        ----------
        part : "train", "validation" or "test"
            Which one; it may be empty.

        Raises
        ------
        InputError
            Another name.
        """
        if part not in get_args(Part):
            raise InputError(f"part {part!r}; expected {', '.join(get_args(Part))}")
        return tuple(place for place in self.places if place.part == part)

    def check(self, cube: CubeImages) -> None:
        """Refuse a cube that the samples were not drawn from.

        Parameters
        ----------
        cube : CubeImages
            The cube, opened.

        Raises
        ------
        ConflictError
            Another grid, other bands, or other images.
        """
        try:
            digest = cube.digest(self.acquired)
        except InputError as error:
            raise ConflictError(f"the plan was drawn from another cube: {error}") from None
        if digest != self.cube_digest:
            raise ConflictError(
                f"the plan was drawn from the cube {self.cube_name or '(without name)'}, and "
                f"{cube.name or 'this one'} differs from it in grid, bands or pixels; "
                "draw the samples again with plan_samples"
            )

    def document(self) -> dict[str, Any]:
        """Give the plan as JSON can keep it."""
        numbers = {image: number for number, image in enumerate(self.acquired)}
        first = self.places[0].grid
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "cube": {"name": self.cube_name, "digest": self.cube_digest},
            "bands": list(self.bands),
            "seed": self.seed,
            "left_out": self.left_out,
            "size": first.size,
            "step": [first.step_y, first.step_x],
            "images": [list(image) for image in self.acquired],
            "places": [
                [place.part, place.grid.y, place.grid.x, [numbers[image] for image in place.images]]
                for place in self.places
            ],
        }

    def save(self, file: PathType) -> None:
        """Write the plan as JSON, in one step.

        Parameters
        ----------
        file : path-like
            Name of the file.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        with storage_errors(Path(file)):
            write_json(Path(file), self.document())

    @classmethod
    def load(cls, file: PathType) -> SamplePlan:
        """Read a plan.

        Parameters
        ----------
        file : path-like
            What `save` wrote.

        Raises
        ------
        InputError
            The file is missing, damaged or something else.
        """
        try:
            document = json.loads(Path(file).read_text(encoding="utf-8"))
            if document["format"] != _FORMAT or document["version"] > _VERSION:
                raise ValueError(f"format {document['format']!r}, version {document['version']}")
            return _plan_in(document)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                f"{file} cannot be read as a plan of samples ({error}); draw it again with plan_samples"
            ) from None


def _plan_in(document: dict[str, Any]) -> SamplePlan:
    images = [Acquired(str(time), str(platform), int(orbit)) for time, platform, orbit in document["images"]]
    size, steps = int(document["size"]), [float(step) for step in document["step"]]
    places = []
    for part, y, x, numbers in document["places"]:
        if part not in get_args(Part):
            raise ValueError(f"part {part!r}")
        grid = Grid(int(y), int(x), size, *steps)
        places.append(Place(part, grid, tuple(images[number] for number in numbers)))
    if not places:
        raise ValueError("no samples")
    return SamplePlan(
        places=tuple(places),
        bands=tuple(document["bands"]),
        cube_digest=str(document["cube"]["digest"]),
        cube_name=str(document["cube"]["name"]),
        seed=int(document["seed"]),
        left_out=int(document["left_out"]),
    )
