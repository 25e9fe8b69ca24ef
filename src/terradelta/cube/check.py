"""Whether a cube is whole: descriptions, values per time, and every pixel against its digest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from terradelta.cube.arrays import open_array
from terradelta.cube.content import digest_of_stored
from terradelta.cube.files import read_json
from terradelta.cube.schema import LAYER_GROUPS, SERIES
from terradelta.cube.series import Series, open_series
from terradelta.cube.store import Header, read_header
from terradelta.errors import CubeError

if TYPE_CHECKING:
    from terradelta.types import PathType

__all__ = ["check_cube"]


def check_cube(path: PathType, *, pixels: bool = True) -> list[str]:
    """Look for damage in a cube.

    Parameters
    ----------
    path : path
        The cube.
    pixels : bool
        Also read all images and compare them with the digests taken when they were written.

    Returns
    -------
    list of str
        One line per problem; empty if the cube is whole.

    Raises
    ------
    CubeError
        If there is no cube to check, or one of a newer schema.

    Examples
    --------
    >>> import tempfile
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import create_cube
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> check_cube(folder)
    []
    """
    header = read_header(path)
    problems: list[str] = []
    for name in SERIES:
        try:
            series = open_series(header, name)
            if series is not None:
                problems += _check_series(series, pixels)
        except CubeError as error:
            problems.append(str(error))
    return problems + _check_layers(header)


def _check_series(series: Series, pixels: bool) -> list[str]:
    problems = []
    for variable in series.spec.pixels:
        bands = (len(series.bands),) if variable.banded else ()
        shape = series.array(variable.name).shape
        if shape[0] < series.committed or shape[1:] != (*bands, *series.header.size):
            problems.append(
                f"{series.name}/{variable.name} has shape {shape}, "
                f"expected {(series.committed, *bands, *series.header.size)}"
            )
    times = series.column("time")
    keys = [series.column(name) for name in series.spec.identity]
    for key, count in Counter(zip(times, *keys, strict=True)).items():
        if count > 1:
            problems.append(f"{series.name} holds {' '.join(map(str, key))} {count} times")
    for name in series.spec.column_names:
        series.column(name)
    if series.name == "sar":
        problems += _check_estimates(series)
    return problems + (_check_pixels(series) if pixels and not problems else [])


def _check_estimates(series: Series) -> list[str]:
    """Whether all that is marked as estimated is a value per time."""
    named = {name for names in series.column("estimated") for name in names.split(",") if name}
    return [
        f"{series.name}/estimated names {name!r}, which is no value per time"
        for name in sorted(named - set(series.spec.column_names))
    ]


def _check_pixels(series: Series) -> list[str]:
    problems = []
    digests, shares = series.column("digest"), series.column("valid_share")
    total = series.header.size.y * series.header.size.x
    for index, time in enumerate(series.column("time")):
        where = f"{series.name} {np.datetime_as_string(time, 's')}Z"
        try:
            content = digest_of_stored(series, index)
        except Exception as error:  # a damaged file fails in as many ways as there are codecs
            problems.append(f"{where} cannot be read ({error})")
            continue
        if content.digest != digests[index]:
            problems.append(f"{where} has other pixels than were written")
        elif abs(content.valid / total - float(shares[index])) > 1e-6:
            problems.append(f"{where} has another share of valid pixels than was noted")
    return problems


def _check_layers(header: Header) -> list[str]:
    problems = []
    for group in LAYER_GROUPS:
        folder = header.path / group
        if not (folder / "zarr.json").exists():
            continue
        for layer in sorted(child for child in folder.iterdir() if child.is_dir()):
            if (read_json(layer / "zarr.json") or {}).get("node_type") == "group":
                continue  # a table beside the layers
            try:
                array = open_array(layer)
                array[...]
                if array.ndim == 2 and array.shape != tuple(header.size):
                    problems.append(
                        f"{group}/{layer.name} has shape {array.shape}, the cube {tuple(header.size)}"
                    )
            except Exception as error:  # as above
                problems.append(f"{group}/{layer.name} cannot be read ({error})")
    return problems
