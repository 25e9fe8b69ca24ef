"""A sample: previous images of a place, the next one, and the conditions they were taken under."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.errors import InputError
from terradelta.expected.conditions import Conditions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from terradelta.tfrecord.published import RawRecord

__all__ = ["Sample", "record_of_sample", "sample_of_record"]

_DAY = np.timedelta64(1, "D")
_PUBLISHED_BANDS = ("VV", "VH")
_LAYERS = ("dem", "forest", "change_mask", "superpixels")


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """Images of one place and what is known about them.

    Attributes
    ----------
    name : str
        Names the sample in messages.
    images : array (time, band, y, x) of float32
        Previous images, oldest first, dB; NaN = no data.
    target : array (band, y, x) of float32
        The image to expect, dB; NaN = no data.
    conditions : Conditions
        Of the previous images and, last, the target.
    bands : tuple of str
        Names of the bands, e.g. ``("VV", "VH")``.
    dem : array (y, x) of float32 or None
        Elevation in metres, NaN = unknown; None if there is none.
    forest : array (y, x) of float32 or None
        1 = forest, 0 = other, NaN = unknown; None if there is none.
    change_mask : array (y, x) of int or None
        Numbers of simulated changes, 0 = none.
    changed : array (band, y, x) of float32 or None
        The target with simulated changes, dB.
    prediction : array (band, y, x) of float32 or None
        What a network expected of the target, dB.
    time : numpy.datetime64 or None
        Moment of the target, UTC.
    location : tuple of float or None
        Latitude and longitude of the middle, degrees.
    superpixels : array (y, x) of int64 or None
        Numbers of the groups of pixels that change together, 1 up; None if unknown.
    takes : tuple of str or None
        Identifiers of the data takes of the previous images and, last, the target.
    truth : tuple of dict or None
        One per simulated change: ``number`` (as in the mask), ``kind`` ("" = unknown), ``strength`` (mean per
        band, dB; None where nothing of it is left), ``pixels``, ``date`` (ISO, "" = unknown). Empty: none was
        simulated on purpose; None: nothing is known.

    Raises
    ------
    InputError
        Parts that do not fit together.
    """

    name: str
    images: NDArray[np.float32]
    target: NDArray[np.float32]
    conditions: Conditions
    bands: tuple[str, ...] = _PUBLISHED_BANDS
    dem: NDArray[np.float32] | None = None
    forest: NDArray[np.float32] | None = None
    change_mask: NDArray[np.int32] | None = None
    changed: NDArray[np.float32] | None = None
    prediction: NDArray[np.float32] | None = None
    time: np.datetime64 | None = None
    location: tuple[float, float] | None = None
    superpixels: NDArray[np.int64] | None = None
    takes: tuple[str, ...] | None = None
    truth: tuple[dict[str, Any], ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        if self.images.ndim != 4 or self.images.shape[1:] != self.target.shape:
            raise InputError(
                f"sample {self.name}: images {self.images.shape} and target {self.target.shape}; "
                "expected (time, band, y, x) and (band, y, x)"
            )
        for name in (*_LAYERS, "changed", "prediction"):
            values = getattr(self, name)
            shape = self.target.shape[-2:] if name in _LAYERS else self.target.shape
            if values is not None and values.shape != shape:
                raise InputError(f"sample {self.name}: {name} has shape {values.shape}, expected {shape}")
        if self.takes is not None and len(self.takes) != len(self.images) + 1:
            raise InputError(
                f"sample {self.name}: {len(self.takes)} data takes for {len(self.images)} previous images "
                "and the target; name one for each"
            )
        if len(self.bands) != len(self.target) or len(self.conditions) != len(self.images) + 1:
            raise InputError(
                f"sample {self.name}: {len(self.target)} bands named {', '.join(self.bands)}, and "
                f"{len(self.images)} previous images and the target with {len(self.conditions)} conditions"
            )

    @property
    def previous(self) -> int:
        """Number of previous images."""
        return len(self.images)

    @property
    def size(self) -> int:
        """Edge of the images in pixels."""
        return int(self.target.shape[-1])

    @property
    def times(self) -> NDArray[np.datetime64]:
        """Moments of the previous images and the target, UTC; NaT where unknown."""
        if self.time is None:
            return np.full(len(self.conditions), np.datetime64("NaT", "ns"))
        age = self.conditions.age * 86_400_000_000
        known = np.isfinite(age)
        steps = np.where(known, age, 0).round().astype("timedelta64[us]").astype("timedelta64[ns]")
        return np.where(known, self.time.astype("datetime64[ns]") - steps, np.datetime64("NaT", "ns"))


def sample_of_record(record: RawRecord, *, name: str = "") -> Sample:
    """Make a sample of a record of the published data set.

    Parameters
    ----------
    record : RawRecord
        As `terradelta.tfrecord.published.read_raw` gives it.
    name : str
        Name of the sample; by default the place and moment of the target.

    Returns
    -------
    Sample
        Bands VV and VH; simulated changes, superpixels and prediction where the record has them. Of a change
        the record tells no kind: `Sample.truth` has what its images show.
    """
    bands = len(_PUBLISHED_BANDS)
    stack = np.asarray(record.input_image_stack, np.float32)
    times = [_time(text) for text in (*record.input_image_start_times, record.target_image_start_time)]
    target = times[-1]
    age = np.array([(target - time) / _DAY for time in times])
    mask, changed = record.simulated_change_mask, _band_first(record.simulated_change_image)
    labels = record.img_superpixel_map
    takes = (*record.input_image_data_take_ids, record.target_image_data_take_id)
    return Sample(
        name=name or f"{record.image_location} {record.target_image_start_time}",
        images=stack.reshape(-1, bands, *stack.shape[1:]),
        target=np.asarray(record.target_image, np.float32),
        conditions=_conditions_of(record, age),
        dem=np.asarray(record.dem_rast, np.float32),
        forest=np.asarray(record.forestmask, np.float32),
        change_mask=None if mask is None else np.asarray(mask, np.int32),
        changed=changed,
        prediction=_band_first(record.target_image_prediction),
        time=None if np.isnat(target) else target,
        location=_location(record.image_location),
        superpixels=None if labels is None else np.asarray(labels, np.int64),
        takes=takes if any(takes) else None,
        truth=_truth_of(record, changed),
    )


def _truth_of(record: RawRecord, changed: NDArray[np.float32] | None) -> tuple[dict[str, Any], ...] | None:
    """Tell of the changes of a record what its images show; a later change may hide an earlier one."""
    mask = record.simulated_change_mask
    if mask is None or record.num_simulated_changes is None:
        return None
    date = record.target_image_start_time[:10]
    changes = []
    for number in range(1, record.num_simulated_changes + 1):
        inside = mask == number
        strength = None
        if changed is not None and inside.any():
            step = changed[:, inside].astype(np.float64) - record.target_image[:, inside]
            strength = [float(value) for value in step.mean(axis=1)]
        pixels = int(np.count_nonzero(inside))
        changes.append({"number": number, "kind": "", "strength": strength, "pixels": pixels, "date": date})
    return tuple(changes)


def _conditions_of(record: RawRecord, age: NDArray[np.float64]) -> Conditions:
    def join(name: str) -> NDArray[np.float64]:
        return np.append(getattr(record, f"input_image_{name}s"), getattr(record, f"target_image_{name}"))

    rain = np.vstack([record.input_image_precipitations, record.target_image_precipitations])
    return Conditions(
        temperature=join("temperature"),
        snow_depth=join("snow_depth"),
        heading=join("platform_heading"),
        incidence=join("incidence_angle"),
        precipitation=rain,
        platform=(*record.input_image_mission_ids, record.target_image_mission_id),
        age=age,
    )


def _band_first(image: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    if image is None:
        return None
    return np.ascontiguousarray(np.moveaxis(np.asarray(image, np.float32), -1, 0))


def _time(text: str) -> np.datetime64:
    try:
        return np.datetime64(text.strip().rstrip("Z").split("+")[0], "ns")
    except ValueError:
        return np.datetime64("NaT", "ns")


def _location(text: str) -> tuple[float, float] | None:
    from terradelta.tfrecord.published import parse_point

    try:
        return parse_point(text)
    except InputError:
        return None


def _point(location: tuple[float, float] | None) -> str:
    if location is None:
        return "POINT EMPTY"
    texts = (f"{degrees:.6f}" for degrees in location)
    short = (text if float(text) == degrees else f"{degrees:.10g}"
             for text, degrees in zip(texts, location, strict=True))  # fmt: skip
    return f"POINT ({' '.join(short)})"


def record_of_sample(sample: Sample) -> RawRecord:
    """Make a record of the published data set of a sample.

    Parameters
    ----------
    sample : Sample
        With two bands, VV and VH in this order. Unknown elevation and forest become NaN.

    Returns
    -------
    RawRecord
        For `terradelta.tfrecord.published.write_raw`; unknown identifiers of data takes are empty, moments
        are ISO text of microseconds, and an unknown place is ``POINT EMPTY``. The format has no field for
        the kind of a change.

    Raises
    ------
    InputError
        Other bands than VV and VH.
    """
    from terradelta.tfrecord.published import RawRecord

    if sample.bands != _PUBLISHED_BANDS:
        raise InputError(
            f"sample {sample.name} has the bands {', '.join(sample.bands)}; "
            "the published format holds VV and VH"
        )
    nothing = np.full(sample.target.shape[-2:], np.nan, np.float32)
    times = ["" if np.isnat(time) else str(time.astype("datetime64[us]")) for time in sample.times]
    conditions = sample.conditions
    takes = sample.takes or ("",) * (sample.previous + 1)
    return RawRecord(
        image_location=_point(sample.location),
        dem_rast=nothing if sample.dem is None else sample.dem,
        forestmask=nothing if sample.forest is None else sample.forest,
        input_image_stack=sample.images.reshape(-1, *sample.target.shape[-2:]),
        target_image=sample.target,
        input_image_temperatures=conditions.temperature[:-1],
        input_image_snow_depths=conditions.snow_depth[:-1],
        input_image_platform_headings=conditions.heading[:-1],
        input_image_incidence_angles=conditions.incidence[:-1],
        input_image_precipitations=conditions.precipitation[:-1],
        input_image_mission_ids=conditions.platform[:-1],
        input_image_start_times=tuple(times[:-1]),
        input_image_data_take_ids=takes[:-1],
        target_image_temperature=float(conditions.temperature[-1]),
        target_image_snow_depth=float(conditions.snow_depth[-1]),
        target_image_platform_heading=float(conditions.heading[-1]),
        target_image_incidence_angle=float(conditions.incidence[-1]),
        target_image_precipitations=conditions.precipitation[-1],
        target_image_mission_id=conditions.platform[-1],
        target_image_start_time=times[-1],
        target_image_data_take_id=takes[-1],
        **_change_fields(sample),
    )


def _change_fields(sample: Sample) -> dict[str, Any]:
    def band_last(image: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if image is None else np.ascontiguousarray(np.moveaxis(image, 0, -1))

    from terradelta.simulate.injected.superpixels import superpixel_sets_json

    mask, truth, labels = sample.change_mask, sample.truth, sample.superpixels
    seen = None if mask is None else len(np.unique(mask[mask > 0]))
    return {
        "simulated_change_mask": mask,
        "num_simulated_changes": seen if truth is None or mask is None else len(truth),
        "img_superpixel_map": labels,
        "img_superpixel_sets": None if labels is None else superpixel_sets_json(labels),
        "simulated_change_image": band_last(sample.changed),
        "target_image_prediction": band_last(sample.prediction),
    }
