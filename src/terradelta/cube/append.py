"""Adding one acquisition: all of it or nothing, block by block, one writer at a time."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from terradelta.cube.batch import Batch, Outcome
from terradelta.cube.files import storage_errors
from terradelta.cube.locking import WAIT, exclusive
from terradelta.cube.store import Header, read_header
from terradelta.errors import StorageError
from terradelta.types import PathType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from terradelta.cube.acquisitions import Acquisition

__all__ = ["Appender", "append", "append_all", "appending"]


def append(
    path: PathType, acquisition: Acquisition, *, timeout: float = WAIT, mixed: bool = False
) -> Outcome:
    """Add one acquisition to a cube, wholly or not at all.

    The pixels are written behind the committed ones, then the values per time, then one small file is
    replaced that tells how many acquisitions count. Whatever ends the process before that leaves the cube as
    it was, and the same call again completes it. At most one block of the acquisition is in memory.

    Parameters
    ----------
    path : path
        The cube.
    acquisition : SarAcquisition or OpticalAcquisition
        Image on the cube's grid, with the cube's bands in any order; NumPy or dask.
    timeout : float
        Seconds to wait while another process writes to the same cube.
    mixed : bool
        Take radar images whose radiometry (gamma0-rtc, sigma0-ellipsoid, ...) differs from what is there.

    Returns
    -------
    {"added", "skipped"}
        ``skipped`` if the same acquisition with the same pixels is there already.

    Raises
    ------
    ConflictError
        If other data are there under the same time, platform and relative orbit, or radar images of another
        radiometry.
    InputError
        If grid, bands or values do not fit (for instance decibel in place of linear power).
    LockedError
        If another process holds the cube for longer than `timeout`.
    StorageError
        If there is no room or no permission.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import SarAcquisition, create_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> image = SarAcquisition(time="2020-06-01", bands=("VV",), backscatter=np.full((1, 8, 10), 0.1))
    >>> append(folder, image), append(folder, image)
    ('added', 'skipped')
    """
    return append_all(path, [acquisition], timeout=timeout, mixed=mixed)[0]


def append_all(
    path: PathType, acquisitions: Iterable[Acquisition], *, timeout: float = WAIT, mixed: bool = False
) -> list[Outcome]:
    """Add many acquisitions, each wholly or not at all, faster than one by one.

    The cube is held for the whole time, and acquisitions are committed every two seconds and at the end: a
    killed call loses no more than that, and the same call again completes it. If one acquisition is refused,
    those before it stay.

    Parameters
    ----------
    path : path
        The cube.
    acquisitions : iterable of SarAcquisition or OpticalAcquisition
        Taken one at a time, so that a generator needs memory for one only.
    timeout, mixed
        As of :func:`append`.

    Returns
    -------
    list of {"added", "skipped"}
        One per acquisition.

    Raises
    ------
    ConflictError, InputError, LockedError, StorageError
        As :func:`append`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import SarAcquisition, create_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> images = (SarAcquisition(time=f"2020-06-0{day}", bands=("VV",), backscatter=np.full((1, 8, 10), 0.1))
    ...           for day in (1, 7, 7))
    >>> append_all(folder, images)
    ['added', 'added', 'skipped']
    """
    with appending(path, timeout=timeout, mixed=mixed) as appender:
        return [appender.add(acquisition) for acquisition in acquisitions]


class Appender:
    """Takes acquisitions for a cube that is held for writing; made by :func:`appending`."""

    def __init__(self, header: Header, *, mixed: bool = False) -> None:
        self._header, self._mixed = header, mixed
        self._batches: dict[str, Batch] = {}

    @property
    def pending(self) -> int:
        """Number of acquisitions that are written but do not count yet."""
        return sum(batch.pending for batch in self._batches.values())

    def add(self, acquisition: Acquisition) -> Outcome:
        """Add one acquisition, wholly or not at all; one that is refused leaves the others as they are.

        Parameters
        ----------
        acquisition : SarAcquisition or OpticalAcquisition
            As :func:`append` takes it.

        Raises
        ------
        ConflictError, EmptyError, InputError, StorageError
            As :func:`append`.
        """
        with storage_errors(self._header.path):
            for group, batch in self._batches.items():
                if group != acquisition.group:
                    batch.commit()
            if acquisition.group not in self._batches:
                self._batches[acquisition.group] = Batch(self._header, acquisition.group, mixed=self._mixed)
            return self._batches[acquisition.group].take(acquisition)

    def commit(self) -> None:
        """Make all that was added count."""
        with storage_errors(self._header.path):
            for batch in self._batches.values():
                batch.commit()


@contextmanager
def appending(path: PathType, *, timeout: float = WAIT, mixed: bool = False) -> Iterator[Appender]:
    """Hold a cube for adding acquisitions one after the other, as they come.

    They are committed every two seconds and at the end, also when an error ends the block.

    Parameters
    ----------
    path : path
        The cube.
    timeout, mixed
        As of :func:`append`.

    Yields
    ------
    Appender
        Takes the acquisitions.

    Raises
    ------
    CubeError, LockedError, StorageError
        If there is no cube, another process holds it, or the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import SarAcquisition, create_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> with appending(folder) as appender:
    ...     appender.add(SarAcquisition(time="2020-06-01", bands=("VV",), backscatter=np.ones((1, 8, 10))))
    'added'
    """
    header = read_header(Path(path))
    with storage_errors(header.path), exclusive(header.path, timeout):
        appender = Appender(header, mixed=mixed)
        try:
            yield appender
        except BaseException:
            with suppress(OSError, StorageError):
                appender.commit()
            raise
        appender.commit()
