"""Adding one acquisition: all of it or nothing, block by block, one writer at a time."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from terradelta.cube.batch import Batch, Outcome
from terradelta.cube.files import storage_errors
from terradelta.cube.locking import WAIT, exclusive
from terradelta.cube.store import read_header
from terradelta.types import PathType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from terradelta.cube.acquisitions import Acquisition

__all__ = ["append", "append_all"]


def append(path: PathType, acquisition: Acquisition, *, timeout: float = WAIT) -> Outcome:
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

    Returns
    -------
    {"added", "skipped"}
        ``skipped`` if the same acquisition with the same pixels is there already.

    Raises
    ------
    ConflictError
        If other data are there under the same time, platform and relative orbit.
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
    return append_all(path, [acquisition], timeout=timeout)[0]


def append_all(
    path: PathType, acquisitions: Iterable[Acquisition], *, timeout: float = WAIT
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
    timeout : float
        Seconds to wait while another process writes to the same cube.

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
    header = read_header(Path(path))
    outcomes: list[Outcome] = []
    batches: dict[str, Batch] = {}
    with storage_errors(header.path), exclusive(header.path, timeout):
        try:
            for acquisition in acquisitions:
                if acquisition.group not in batches:
                    batches[acquisition.group] = Batch(header, acquisition.group)
                outcomes.append(batches[acquisition.group].take(acquisition))
        except BaseException:
            with suppress(OSError):
                for batch in batches.values():
                    batch.commit()
            raise
        for batch in batches.values():
            batch.commit()
    return outcomes
