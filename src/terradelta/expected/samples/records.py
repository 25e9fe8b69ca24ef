"""Samples straight from files of the published data set, read in a row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from terradelta.expected.samples.sample import Sample, sample_of_record

if TYPE_CHECKING:
    from terradelta.tfrecord.framing import Damaged
    from terradelta.types import PathType

__all__ = ["RecordSamples"]


class RecordSamples(Sequence[Sample]):
    """Samples of raw TFRecord files, in the order of the files and of the records in them.

    A compressed file can only be read from its start: going on from one sample to the next is fast, going
    back starts the file anew. `feeding.RandomOrder` keeps the records of a file together for that reason.

    Parameters
    ----------
    files : sequence of path-like
        Raw files of the published data set; each is read through once to count its records.
    damaged : "refuse" or "skip"
        Whether damaged records are an error, or left out with a note.

    Raises
    ------
    InputError
        A file that is missing, damaged or no such file.
    """

    def __init__(self, files: Sequence[PathType], *, damaged: Damaged = "refuse") -> None:
        from terradelta.tfrecord.framing import read_records

        self.files = tuple(Path(file) for file in files)
        self._damaged = damaged
        counts = [sum(1 for _ in read_records(file, damaged=damaged)) for file in self.files]
        self._ends = list(accumulate(counts))
        self._at: tuple[int, int] = (-1, 0)
        self._reader: Iterator[Any] = iter(())

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind."""
        return {**self.__dict__, "_at": (-1, 0), "_reader": iter(())}

    def spans(self) -> list[range]:
        """Give the places of the samples of each file."""
        return [range(start, end) for start, end in zip([0, *self._ends], self._ends, strict=False)]

    def __len__(self) -> int:
        """Count the samples."""
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        """Read a sample."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} records, no number {index}")
        index %= len(self)
        file = bisect_right(self._ends, index)
        number = index - self.spans()[file].start
        return self._read(file, number)

    def _read(self, file: int, number: int) -> Sample:
        from terradelta.tfrecord.published import read_raw

        if self._at[0] != file or self._at[1] > number:
            self._reader, self._at = iter(read_raw(self.files[file], damaged=self._damaged)), (file, 0)
        record = next(islice(self._reader, number - self._at[1], None))
        self._at = (file, number + 1)
        return sample_of_record(record, name=f"{self.files[file].name} record {number + 1}")
