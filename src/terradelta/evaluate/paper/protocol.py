"""How much is simulated, trained and judged, and the simulated places of the experiment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from terradelta.learning.options import Precision
from terradelta.simulate import Effects, Orbit, Scenario
from terradelta.simulate.injected import Recipe
from terradelta.simulate.streams import stream

__all__ = ["FULL", "QUICK", "SPLIT", "PaperProtocol", "scenario"]

SPLIT = ("2020-11-15", "2021-01-01")
"""Where validation and test begin in the simulated series."""

_START, _YEARS = "2019-01-01", 3.0
_NUMBERS = {"ascending": (15, 88), "descending": (37, 110)}
_NEAR, _FAR = (29.5, 36.5), (7.5, 9.0)


@dataclass(frozen=True)
class PaperProtocol:
    """Sizes of the experiment.

    Attributes
    ----------
    places : int
        Simulated places; each has terrain, land cover, weather and orbits of its own.
    place_size : int
        Pixels on a side of a place.
    size : int
        Pixels on a side of a sample; a power of two.
    train, validation, test : int
        Samples of all places or of the cube.
    seeds : int
        Trainings of each network, with seeds from 0; each is judged on changes of its own.
    filters : int
        Of every stage of the published architecture.
    epochs : int
        Of the published architecture.
    width : int
        Of the conditioned network.
    conditioned_epochs, conditioned_crop : int
        Its training: epochs, and pixels on a side of what is cut out of each sample.
    precision : str
        Numbers that networks are trained with; see `TrainingOptions`.
    ablations : int
        Trainings, at most `seeds`, of the conditioned network without each of the six conditions.
    areas : int
        Open areas whose backscatter a statistical change takes.

    Examples
    --------
    >>> FULL.seeds, QUICK.size
    (3, 64)
    """

    places: int = 6
    place_size: int = 224
    size: int = 128
    train: int = 1440
    validation: int = 96
    test: int = 144
    seeds: int = 3
    filters: int = 32
    epochs: int = 10
    width: int = 16
    conditioned_epochs: int = 4
    conditioned_crop: int = 64
    precision: Precision = "float32"
    ablations: int = 3
    areas: int = 50

    def recipe(self) -> Recipe:
        """Give the statistical change; the offset uses its mask."""
        return Recipe(kind="statistical", box=min(100, self.size), superpixels="none")

    def document(self) -> dict[str, Any]:
        """Give plain values, as the report keeps them."""
        return asdict(self)


FULL = PaperProtocol()
QUICK = PaperProtocol(
    places=2, place_size=144, size=64, train=400, validation=40, test=64, filters=16, epochs=8, width=8,
    conditioned_epochs=5, conditioned_crop=32, ablations=1,
)  # fmt: skip


def scenario(seed: int, place_size: int) -> Scenario:
    """Give the settings of one simulated place.

    They follow the published data: pixels of 10 m with the 4.4 looks of a GRDH image, refined Lee, terrain
    correction without radiometric flattening, the climate of southern Finland, two satellites every six
    days on two ascending and two descending orbits. Where in the swath a place lies is drawn, so that
    the incidence angle does not give the orbit away.

    Parameters
    ----------
    seed : int
        Of the place.
    place_size : int
        Pixels on a side.

    Returns
    -------
    Scenario
        For `terradelta.simulate.place`; nothing changes in the series.

    Examples
    --------
    >>> [orbit.direction for orbit in scenario(0, 64).orbits]
    ['ascending', 'ascending', 'descending', 'descending']
    """
    return Scenario(
        size=place_size,
        resolution=10.0,
        years=_YEARS,
        start=_START,
        orbits=_orbits(stream(seed, "swath")),
        changes=0,
        effects=Effects().including("edges"),
        optical_days=0,
        looks=4.4,
        speckle_resolution=20.0,
        smoothing="refined_lee",
        flattening=0.0,
        mean_temperature=4.5,
        temperature_amplitude=11.5,
    )


def _orbits(rng: np.random.Generator) -> tuple[Orbit, ...]:
    """Draw the incidence angles of two neighbouring orbits of each direction."""
    drawn = []
    for direction, numbers in _NUMBERS.items():
        near = float(rng.uniform(*_NEAR))
        far = near + float(rng.uniform(*_FAR))
        angles = (near, far) if rng.random() < 0.5 else (far, near)
        drawn += [
            Orbit(number, direction, round(angle, 2), 6)  # type: ignore[arg-type]
            for number, angle in zip(numbers, angles, strict=True)
        ]
    return tuple(drawn)
