"""Statistics of a data set, gathered in one pass, and the normalisation that follows from them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from terradelta.cube.files import write_json
from terradelta.errors import InputError
from terradelta.expected.conditions import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from terradelta.expected.conditions import Conditions
    from terradelta.expected.samples.sample import Sample
    from terradelta.types import FloatArray, PathType

__all__ = ["Clip", "Statistics", "StatisticsBuilder", "statistics_of"]

Clip = Literal["unit", "as_published"]
"""Images beyond mean ± 4 standard deviations: cut there, or treated as the published code does."""

WIDTH = 4.0
"""Standard deviations on either side of the mean that become -1..1."""

_KEYS = {
    "image_mean": ("sar_images", "mean"),
    "image_var": ("sar_images", "var"),
    "dem_max": ("dem_rast", "max"),
    "snow_depth_max": ("snow_depths", "max"),
    "precipitation_max": ("precipitations", "max"),
}
_AGAIN = "gather the statistics of this data set again with terradelta.expected.statistics_of"

Values = TypeVar("Values")


@dataclass(frozen=True)
class Statistics:
    """Five numbers of a data set, and what they make of its values.

    Attributes
    ----------
    image_mean, image_var : float
        Mean (dB) and variance (dB²) of all pixels of all images and bands.
    dem_max : float
        Largest elevation, metres; 0 if none is known.
    snow_depth_max : float
        Largest snow depth, centimetres; 0 if there was none.
    precipitation_max : float
        Largest precipitation of a day, millimetres; 0 if there was none.
    clip : "unit" or "as_published"
        Normalised images are cut to -1..1; or to mean ± 4 standard deviations *in dB*, as the published code
        does by mistake (bright pixels pass 1).

    Raises
    ------
    InputError
        A number that is not finite, no variance, or a negative maximum.

    Examples
    --------
    >>> statistics = Statistics(-14.0, 20.25, 260.0, 75.0, 48.0)
    >>> statistics.images(np.array([-32.0, -14.0, -5.0, 30.0])).tolist()
    [-1.0, 0.0, 0.5, 1.0]
    >>> statistics.decibel(np.array([-1.0, 0.5])).tolist()
    [-32.0, -5.0]
    """

    image_mean: float
    image_var: float
    dem_max: float = 0.0
    snow_depth_max: float = 0.0
    precipitation_max: float = 0.0
    clip: Clip = "unit"

    def __post_init__(self) -> None:
        for name in _KEYS:
            value = float(getattr(self, name))
            object.__setattr__(self, name, value)
            if not math.isfinite(value):
                raise InputError(f"statistics: {name} is {value}; {_AGAIN}, from images with data")
            if value < 0 and name != "image_mean":
                raise InputError(f"statistics: {name} is {value:g}, but it cannot be below 0; {_AGAIN}")
        if self.image_var == 0:
            raise InputError(
                f"statistics: the images have no variance, all are {self.image_mean:g} dB; "
                "give images that differ"
            )
        if self.clip not in ("unit", "as_published"):
            raise InputError(f"statistics: clip is {self.clip!r}; expected 'unit' or 'as_published'")

    @property
    def half_width(self) -> float:
        """Decibels that become 1: four standard deviations."""
        return WIDTH * math.sqrt(self.image_var)

    def images(self, decibel: Values, *, clip: Clip | None = None) -> Values:
        """Normalise images.

        Parameters
        ----------
        decibel : array or tensor
            dB, NaN = no data.
        clip : "unit", "as_published" or None
            As the attribute; None takes that.

        Returns
        -------
        array or tensor
            Mean ± 4 standard deviations become -1..1; of the same type, NaN stays.
        """
        values: Any = decibel
        normalised = (values - self.image_mean) * (1 / self.half_width)
        bounds = (-1.0, 1.0)
        if (clip or self.clip) == "as_published":
            bounds = (self.image_mean - self.half_width, self.image_mean + self.half_width)
        result: Values = normalised.clip(*bounds)
        return result

    def decibel(self, normalised: Values) -> Values:
        """Turn normalised images back into dB.

        Parameters
        ----------
        normalised : array or tensor
            Images as `images` gives them.

        Returns
        -------
        array or tensor
            dB, of the same type.
        """
        values: Any = normalised
        result: Values = values * self.half_width + self.image_mean
        return result

    def dem(self, metres: Values) -> Values:
        """Normalise elevations to 0..1.

        Parameters
        ----------
        metres : array or tensor
            Elevation in metres, NaN = unknown.

        Returns
        -------
        array or tensor
            Elevation as share of the largest; not cut.
        """
        values: Any = metres
        result: Values = values / (self.dem_max or 1.0)
        return result

    def condition_vector(self, conditions: Conditions) -> NDArray[np.float64]:
        """Give the published condition vector; its order is that of `conditions.vector_names`.

        Five numbers of the target (temperature, snow depth, heading, incidence, satellite) are computed in
        float32, as the published data have them, all others in float64. Headings are not wrapped.

        Parameters
        ----------
        conditions : Conditions
            Of the previous images and the target.

        Returns
        -------
        array of float64
            45 numbers for four previous images; NaN where a condition is unknown.
        """
        seen = _normalised(self, conditions, np.float64)
        target = _normalised(self, conditions, np.float32)
        plain = ("temperature", "snow_depth", "heading", "incidence")
        parts = [seen[name][:-1] for name in plain]
        parts += [seen["precipitation"][:-1].ravel(), seen["S1A"][:-1]]
        parts += [target[name][-1:].astype(np.float64) for name in (*plain, "S1A")]
        return np.concatenate([*parts, seen["precipitation"][-1]])

    def features(self, conditions: Conditions) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give the conditions of each image as the networks take them.

        Parameters
        ----------
        conditions : Conditions
            Of n images, the target last.

        Returns
        -------
        values : array (n, feature) of float32
            By `conditions.FEATURES`, normalised; 0 where unknown.
        known : array (n, feature) of bool
            False where unknown.
        """
        parts = _normalised(self, conditions, np.float64)
        columns = [parts[name] for name in ("temperature", "snow_depth", "heading", "incidence")]
        columns += [*parts["precipitation"].T, *(parts[name] for name in PLATFORMS), conditions.age / 100]
        values = np.stack(columns, axis=1)
        known = np.isfinite(values)
        return np.where(known, values, 0).astype(np.float32), known

    def document(self) -> dict[str, Any]:
        """Give the numbers as the published ``stats.json`` holds them."""
        document: dict[str, Any] = {}
        for name, (group, key) in _KEYS.items():
            document.setdefault(group, {})[key] = getattr(self, name)
        return document if self.clip == "unit" else {**document, "clip": self.clip}

    def to_json(self, file: PathType) -> None:
        """Write the numbers to a file like the published ``stats.json``, in one step.

        Parameters
        ----------
        file : path-like
            Name of the file.
        """
        write_json(Path(file), self.document())

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, origin: str = "statistics") -> Statistics:
        """Take the numbers from a document like the published ``stats.json``.

        Parameters
        ----------
        document : mapping
            ``sar_images.mean``, ``sar_images.var``, ``dem_rast.max``, ``snow_depths.max``,
            ``precipitations.max``; ``clip`` if it is not "unit".
        origin : str
            Where it comes from, for messages.

        Raises
        ------
        InputError
            A number is missing or cannot be used.
        """
        numbers = {}
        for name, (group, key) in _KEYS.items():
            part = document.get(group)
            value = part.get(key) if isinstance(part, dict) else None
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise InputError(
                    f"{origin}: {group}.{key} is {value!r}, expected a number; write all five of "
                    f"{', '.join('.'.join(names) for names in _KEYS.values())}"
                )
            numbers[name] = float(value)
        try:
            return cls(**numbers, clip=document.get("clip", "unit"))
        except InputError as error:
            raise InputError(f"{origin}: {error}") from None

    @classmethod
    def from_json(cls, file: PathType) -> Statistics:
        """Read the published ``stats.json``, or what `to_json` wrote.

        Parameters
        ----------
        file : path-like
            Name of the file.

        Raises
        ------
        InputError
            The file is missing or no such document.
        """
        try:
            document = json.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read as statistics ({error}); {_AGAIN}") from None
        if not isinstance(document, dict):
            raise InputError(f"{file} holds no JSON object; {_AGAIN}")
        return cls.from_document(document, origin=str(file))


def _normalised(statistics: Statistics, conditions: Conditions, dtype: Any) -> dict[str, NDArray[Any]]:
    def take(values: NDArray[np.float64], low: float, width: float) -> NDArray[Any]:
        share: NDArray[Any] = (values.astype(dtype) - dtype(low)) / dtype(width)
        return share

    platform = np.array(conditions.platform, dtype=object)
    known = np.array([name in PLATFORMS for name in platform], bool)
    parts: dict[str, NDArray[Any]]
    parts = {name: np.where(known, platform == name, np.nan).astype(dtype) for name in PLATFORMS}
    return parts | {
        "temperature": take(conditions.temperature, -30, 60) * dtype(2) - dtype(1),
        "snow_depth": take(conditions.snow_depth, 0, statistics.snow_depth_max or 1),
        "heading": take(conditions.heading, 0, 360),
        "incidence": take(conditions.incidence, 29, 17),
        "precipitation": take(conditions.precipitation, 0, statistics.precipitation_max or 1),
    }


@dataclass
class StatisticsBuilder:
    """Gather statistics in one pass over samples; several builders can be merged.

    Mean and variance follow Welford and Chan, in float64; values without data take no part.

    Examples
    --------
    >>> builder = StatisticsBuilder()
    >>> builder.add_images(np.array([-10.0, -12.0, np.nan]))
    >>> builder.result().image_mean, builder.result().image_var
    (-11.0, 1.0)
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    dem_max: float = 0.0
    snow_depth_max: float = 0.0
    precipitation_max: float = 0.0

    def add(self, sample: Sample) -> None:
        """Take a sample in: its previous images, target, elevation and conditions.

        Parameters
        ----------
        sample : Sample
            Images in dB.
        """
        self.add_images(sample.images)
        self.add_images(sample.target)
        if sample.dem is not None:
            self.dem_max = _larger(self.dem_max, np.abs(sample.dem))
        self.snow_depth_max = _larger(self.snow_depth_max, sample.conditions.snow_depth)
        self.precipitation_max = _larger(self.precipitation_max, sample.conditions.precipitation)

    def add_images(self, decibel: FloatArray) -> None:
        """Take pixels in.

        Parameters
        ----------
        decibel : array
            dB of any shape, NaN = no data.
        """
        values = decibel[np.isfinite(decibel)].astype(np.float64)
        if values.size:
            mean = float(values.mean())
            self._join(values.size, mean, float(np.square(values - mean).sum()))

    def merge(self, other: StatisticsBuilder) -> StatisticsBuilder:
        """Take in what another builder has gathered.

        Parameters
        ----------
        other : StatisticsBuilder
            Stays as it is.

        Returns
        -------
        StatisticsBuilder
            This one.
        """
        if other.count:
            self._join(other.count, other.mean, other.squares)
        for name in ("dem_max", "snow_depth_max", "precipitation_max"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        return self

    def result(self, *, clip: Clip = "unit") -> Statistics:
        """Give the statistics of all that was taken in.

        Parameters
        ----------
        clip : "unit" or "as_published"
            See `Statistics`.

        Raises
        ------
        InputError
            No pixel with data was taken in, or all were equal.
        """
        if not self.count:
            raise InputError("statistics: no pixel with data was met; give samples with images")
        maxima = (self.dem_max, self.snow_depth_max, self.precipitation_max)
        return Statistics(self.mean, self.squares / self.count, *maxima, clip=clip)

    def _join(self, count: int, mean: float, squares: float) -> None:
        total = self.count + count
        step = mean - self.mean
        self.squares += squares + step**2 * self.count * count / total
        self.mean += step * count / total
        self.count = total


def _larger(largest: float, values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return max(largest, float(finite.max())) if finite.size else largest


def statistics_of(samples: Iterable[Sample], *, clip: Clip = "unit") -> Statistics:
    """Gather the statistics of samples in one pass.

    Parameters
    ----------
    samples : iterable of Sample
        Images in dB; only one is held at a time.
    clip : "unit" or "as_published"
        See `Statistics`.

    Returns
    -------
    Statistics
        Of all samples together.

    Raises
    ------
    InputError
        No pixel with data, or all are equal.
    """
    builder = StatisticsBuilder()
    for sample in samples:
        builder.add(sample)
    return builder.result(clip=clip)


def with_clip(statistics: Statistics, clip: Clip) -> Statistics:
    """Give the same numbers with another rule for images beyond the range."""
    return replace(statistics, clip=clip)
