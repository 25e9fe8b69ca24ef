"""Where the samples of a training come from: cubes, files of samples, records; alone or together."""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from terradelta.errors import InputError
from terradelta.expected.samples.files import SampleFile
from terradelta.expected.samples.plans import PlannedSamples, SamplePlan, plan_samples
from terradelta.expected.samples.records import RecordSamples
from terradelta.expected.samples.sample import Sample

if TYPE_CHECKING:
    from terradelta.expected.samples.places import Part

__all__ = ["Chosen", "Data", "SamplesConfig", "open_data"]

_LOG = logging.getLogger(__name__)
_SUFFIXES = (".tfrecord", ".gzip", ".gz", ".zlib")
_LOOKED_AT = 2**16
_SPLIT = {"train": 0.8, "validation": 0.2}


@dataclass(frozen=True)
class SamplesConfig:
    """How samples are drawn from cubes; see `terradelta.expected.samples.plans.plan_samples`.

    Attributes
    ----------
    count, validation_count : int
        Samples per cube to train on, and to validate on; fewer if there are not so many.
    validation_share : float
        Of a file of samples or of records that comes without samples for validation.
    size : int
        Pixels on a side.
    spacing : float or None
        Metres between them; None: the cube's.
    previous : int
        Previous images.
    split_time : tuple of str
        Times at which the parts begin: validation (and test) after training. Empty: parts differ in place.
    guard : int
        Pixels between the parts in space.
    orbits : tuple of int
        Relative orbits to use; empty: all.
    same_orbit : bool
        Previous images of the target's orbit only.
    least_valid : float
        Share of the target that must hold data.
    require : tuple of str
        Conditions and layers that must be known.
    skip_damaged : bool
        Leave damaged records of TFRecord files out, in place of refusing them.
    """

    count: int = 2000
    validation_count: int = 200
    validation_share: float = 0.1
    size: int = 512
    spacing: float | None = None
    previous: int = 4
    split_time: tuple[str, ...] = ()
    guard: int = 0
    orbits: tuple[int, ...] = ()
    same_orbit: bool = False
    least_valid: float = 0.1
    require: tuple[str, ...] = ()
    skip_damaged: bool = False


class Chosen(Sequence[Sample]):
    """Some samples of one or more sources, in the order given; read when asked for.

    Parameters
    ----------
    sources : sequence
        Sequences of samples.
    places : array, optional
        Which of all of them; all if left out.
    """

    def __init__(self, sources: Sequence[Sequence[Sample]], places: Any | None = None) -> None:
        self._sources = tuple(sources)
        self._starts = [0, *accumulate(len(source) for source in self._sources)]
        self._places = np.arange(self._starts[-1]) if places is None else np.asarray(places)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = int(self._places[index])
        source = bisect_right(self._starts, place) - 1
        return self._sources[source][place - self._starts[source]]


class Data(NamedTuple):
    """What a network is trained on.

    Attributes
    ----------
    train, validation : sequence of Sample
        The two parts.
    plans : tuple of SamplePlan
        Of the cubes among the sources.
    digest : str
        Tells these samples from others.
    spacing : float or None
        Metres between pixels, if known.
    """

    train: Sequence[Sample]
    validation: Sequence[Sample]
    plans: tuple[SamplePlan, ...]
    digest: str
    spacing: float | None = None


def open_data(source: Any, config: SamplesConfig, *, seed: int = 0, validation: Any = None) -> Data:
    """Open samples for training and for validation.

    Parameters
    ----------
    source : object
        One of these, or a list of them: a cube (path or DataTree), a file of samples (``.zarr``), a TFRecord
        file, a folder of these, or a sequence of samples.
    config : SamplesConfig
        How samples are drawn from cubes.
    seed : int
        Which samples.
    validation : object, optional
        Likewise, for validation. If left out, a part of the cubes' area or time, and a share of files.

    Raises
    ------
    InputError
        There is nothing, or something else, or the sources differ in bands, size or previous images.
    """
    opened = [_open(each, config, seed, own=validation is None) for each in _listed(source)]
    train: Sequence[Sample] = Chosen([part.train for part in opened])
    if validation is None:
        check: Sequence[Sample] = Chosen([part.validation for part in opened])
        rest: list[_Opened] = []
    else:
        rest = [_open(each, config, seed + 1, own=False) for each in _listed(validation)]
        check = Chosen([part.train for part in rest])
    for name, part in (("training", train), ("validation", check)):
        if not len(part):
            raise InputError(f"there is no sample for {name}; give more data, or other shares")
    _require_alike([part.train for part in [*opened, *rest]])
    digest = hashlib.sha256(" ".join(part.digest for part in [*opened, *rest]).encode()).hexdigest()
    plans = tuple(part.plan for part in [*opened, *rest] if part.plan is not None)
    return Data(train, check, plans, digest, opened[0].spacing)


def _require_alike(sources: Sequence[Sequence[Sample]]) -> None:
    """Refuse sources that one network cannot read, by the first sample of each."""
    firsts = [source[0] for source in sources if len(source)]
    for other in firsts[1:]:
        for what, one, two in (
            ("bands", ", ".join(firsts[0].bands), ", ".join(other.bands)),
            ("pixels on a side", firsts[0].size, other.size),
            ("previous images", firsts[0].previous, other.previous),
        ):
            if one != two:
                raise InputError(
                    f"the data do not fit together: {what} {one} in sample {firsts[0].name}, "
                    f"{two} in sample {other.name}; train on one kind at a time"
                )


class _Opened(NamedTuple):
    train: Sequence[Sample]
    validation: Sequence[Sample]
    digest: str
    plan: SamplePlan | None = None
    spacing: float | None = None


def _listed(source: Any) -> list[Any]:
    """Give single sources; TFRecord files of one list or folder stay together."""
    parts = source if isinstance(source, list | tuple) else [source]
    if parts and all(isinstance(part, Sample) for part in parts):
        return [parts]
    files: list[Path] = []
    rest: list[Any] = []
    for part in parts:
        found = _records(part)
        files += found
        rest += [] if found else [part]
    return [*rest, *([files] if files else [])]


def _records(part: Any) -> list[Path]:
    if not isinstance(part, str | Path):
        return []
    path = Path(part)
    if path.is_dir() and not path.name.endswith(".zarr"):
        return sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
    return [path] if path.suffix.lower() in _SUFFIXES else []


def _open(source: Any, config: SamplesConfig, seed: int, *, own: bool) -> _Opened:
    if isinstance(source, list) and source and isinstance(source[0], Path):
        records = RecordSamples(source, damaged="skip" if config.skip_damaged else "refuse")
        return _shared(records, _digest_of(source), config, seed, own=own)
    if isinstance(source, Sequence) and not isinstance(source, str):
        digest = getattr(source, "digest", None) or _digest_of_samples(source)
        return _shared(source, str(digest), config, seed, own=own)
    if isinstance(source, str | Path) and _is_sample_file(Path(source)):
        samples = SampleFile(source)
        return _shared(samples, samples.digest, config, seed, own=own)
    return _planned(source, config, seed, own=own)


def _is_sample_file(path: Path) -> bool:
    """Tell a file of samples from a cube: a cube has groups of its own."""
    if not path.exists():
        raise InputError(f"no data at {path}; give a cube, a file of samples or TFRecord files")
    return (path / "images").is_dir() or not (path / "sar").is_dir()


def _shared(
    samples: Sequence[Sample], digest: str, config: SamplesConfig, seed: int, *, own: bool
) -> _Opened:
    """Keep a share for validation, if there is nothing else for it."""
    count = len(samples)
    if not own:
        return _Opened(samples, (), digest)
    kept = max(round(config.validation_share * count), 1)
    if count < 2:
        raise InputError(f"there are {count} samples, too few to train and to validate; give 2 or more")
    _LOG.warning(
        "%d of %d samples are kept for validation; they may overlap with the others in place and time",
        kept,
        count,
    )
    order = np.random.default_rng([seed, 7]).permutation(count)
    parts = (np.sort(order[kept:]), np.sort(order[:kept]))
    return _Opened(Chosen([samples], parts[0]), Chosen([samples], parts[1]), digest)


def _digest_of_samples(samples: Iterable[Sample]) -> str:
    summary = hashlib.sha256()
    for sample in samples:
        summary.update(sample.name.encode() + np.ascontiguousarray(sample.target).tobytes())
    return summary.hexdigest()


def _digest_of(files: Iterable[Path]) -> str:
    """Tell files from others by name, size, beginning and end: they are too large to be read for it."""
    summary = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as stream:
            summary.update(f"{file.name} {size} ".encode() + stream.read(_LOOKED_AT))
            stream.seek(max(size - _LOOKED_AT, 0))
            summary.update(stream.read())
    return summary.hexdigest()


def _planned(cube: Any, config: SamplesConfig, seed: int, *, own: bool) -> _Opened:
    counts: dict[Part, int] = {"train": config.count}
    if own:
        counts["validation"] = config.validation_count
    times = config.split_time
    split: Any = None if not times else times[0] if len(times) == 1 else tuple(times)
    if own and len(times) == 1:  # what comes after is validation: a second time far away says so
        split = (times[0], "2200-01-01")
    areas: Any = dict(_SPLIT) if own and not times else None
    plan = plan_samples(
        cube, count=counts if own or times else config.count, seed=seed, previous=config.previous,
        size=config.size, spacing=config.spacing, split_time=split, areas=areas, guard=config.guard,
        orbits=config.orbits, same_orbit=config.same_orbit, least_valid=config.least_valid,
        require=config.require,
    )  # fmt: skip
    train = PlannedSamples(cube, plan, "train")
    check = PlannedSamples(cube, plan, "validation") if own else ()
    return _Opened(train, check, plan.digest, plan, config.spacing or _spacing(cube))


def _spacing(cube: Any) -> float | None:
    from terradelta.cube import geobox_of, open_cube

    grid = geobox_of(open_cube(cube) if isinstance(cube, str | Path) else cube)
    return None if grid.crs is None or grid.crs.geographic else float(abs(grid.affine.a))
