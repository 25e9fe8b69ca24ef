"""Pieces of a cube as samples need them: a few images, layers of the ground, and the conditions of a day."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from pyproj import Transformer

from terradelta.cube.arrays import open_array
from terradelta.cube.grid import grid_document
from terradelta.cube.reading import open_cube
from terradelta.cube.series import Series, open_series
from terradelta.cube.store import geobox_of, read_header
from terradelta.errors import CubeError, InputError
from terradelta.expected.conditions import PRECIPITATION_DAYS, Conditions
from terradelta.sar.decibel import to_db

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from terradelta.types import PathType

__all__ = ["Acquired", "CubeImages", "Grid"]

_DAY = np.timedelta64(1, "D")
_PROBE = 16


class Acquired(NamedTuple):
    """What tells one image of a cube from all others.

    Attributes
    ----------
    time : str
        Moment in UTC, ISO text of nanoseconds.
    platform : str
        Satellite, empty if unknown.
    orbit : int
        Relative orbit, 0 if unknown.
    """

    time: str
    platform: str
    orbit: int


class Grid(NamedTuple):
    """Pixels of a sample within a cube: nearest neighbours on a grid of its own spacing.

    Attributes
    ----------
    y, x : int
        First row and column of the cube.
    size : int
        Edge of the sample in its own pixels.
    step_y, step_x : float
        Cube pixels per pixel of the sample; 1 = the cube's own grid.
    """

    y: int
    x: int
    size: int
    step_y: float = 1.0
    step_x: float = 1.0

    def rows(self) -> NDArray[np.intp]:
        """Rows of the cube that are taken; a row may come more than once."""
        return _taken(self.y, self.size, self.step_y)

    def columns(self) -> NDArray[np.intp]:
        """Columns of the cube that are taken."""
        return _taken(self.x, self.size, self.step_x)


def _taken(first: int, size: int, step: float) -> NDArray[np.intp]:
    places: NDArray[np.intp] = first + np.floor((np.arange(size) + 0.5) * step).astype(np.intp)
    return places


class CubeImages:
    """A cube, opened to read samples from it; safe to hand to other processes, which open it anew.

    Parameters
    ----------
    cube : path-like or DataTree
        A cube on disk (fastest), or one in memory.

    Raises
    ------
    CubeError
        No cube, or one without radar images.

    Examples
    --------
    >>> from terradelta.simulate import place
    >>> images = CubeImages(place(seed=0, size=48, years=0.2, changes=0))
    >>> images.bands, images.size
    (('VV', 'VH'), (48, 48))
    """

    def __init__(self, cube: PathType | xr.DataTree) -> None:
        self._source = cube if isinstance(cube, xr.DataTree) else Path(cube)
        self._open()

    def _open(self) -> None:
        path = self._source if isinstance(self._source, Path) else None
        tree: xr.DataTree = open_cube(path) if path is not None else self._source  # type: ignore[assignment]
        if "sar" not in tree.children or not tree["sar"].sizes.get("time"):
            raise CubeError("the cube holds no radar images; append some with terradelta.append")
        self._sar = sar = tree["sar"].to_dataset()
        self._static = tree["static"].to_dataset() if "static" in tree.children else xr.Dataset()
        self.name = str(tree.attrs.get("name", ""))
        self.geobox = geobox_of(tree)
        self.bands = tuple(str(band) for band in sar["band"].values)
        self.times: NDArray[np.datetime64] = sar["time"].values.astype("datetime64[ns]")
        defaults = {"platform": "", "relative_orbit": 0, "heading": np.nan, "incidence_angle": np.nan}
        defaults["valid_share"] = np.nan
        self._columns = {name: _column(sar, name, default) for name, default in defaults.items()}
        self.platforms, self.orbits = self._columns["platform"], self._columns["relative_orbit"]
        self.size = (int(sar.sizes["y"]), int(sar.sizes["x"]))
        self._series = _series(path)
        self._order = None if self._series is None else np.argsort(self._series.column("time"), kind="stable")
        self._array = None if self._series is None else self._series.array("backscatter")
        self._weather = _Weather(tree, self.geobox.crs) if "weather" in tree.children else None
        self._degrees = Transformer.from_crs(self.geobox.crs, "EPSG:4326", always_xy=True)
        self._numbers = {self.acquired(image): image for image in range(len(self.times))}
        self._layers = {} if path is None else {name: _layer(path, name) for name in self._static.data_vars}

    def __getstate__(self) -> dict[str, Any]:
        """Keep only where the cube is."""
        return {"_source": self._source}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the cube anew."""
        self._source = state["_source"]
        self._open()

    def acquired(self, image: int) -> Acquired:
        """Name an image by its place in the order of time."""
        time = np.datetime_as_string(self.times[image])
        return Acquired(time, str(self.platforms[image] or ""), int(self.orbits[image]))

    def find(self, images: Sequence[Acquired]) -> list[int]:
        """Tell the places of images in the order of time.

        Raises
        ------
        CubeError
            One that is not in the cube.
        """
        for image in images:
            if image not in self._numbers:
                raise CubeError(
                    f"the cube {self.name} has no image of {image.time} from {image.platform or '?'} "
                    f"on orbit {image.orbit}; draw the samples again from this cube"
                )
        return [self._numbers[image] for image in images]

    def has_layer(self, name: str) -> bool:
        """Tell whether the cube has a layer of the ground."""
        return name in self._static.data_vars

    def decibel(self, images: Sequence[int], grid: Grid) -> NDArray[np.float32]:
        """Read images, dB, NaN = no data; (time, band, y, x)."""
        rows, columns = grid.rows(), grid.columns()
        window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        linear = np.stack([self._image(image, window) for image in images])
        decibel = to_db(linear).astype(np.float32, copy=False)
        picked: NDArray[np.float32] = _picked(decibel, rows, columns)
        return picked

    def _image(self, image: int, window: tuple[slice, slice]) -> NDArray[np.float32]:
        if self._array is not None and self._order is not None:
            return np.asarray(self._array[(int(self._order[image]), slice(None), *window)], np.float32)
        block = self._sar["backscatter"].data[(image, slice(None), *window)]
        block = block.compute(scheduler="synchronous") if hasattr(block, "compute") else block
        return np.asarray(block, np.float32)

    def valid_share(self, image: int, grid: Grid) -> float:
        """Tell the share of pixels with data in all bands, 0..1."""
        known = self._columns["valid_share"][image]
        if known == 1:
            return 1.0
        return float(np.isfinite(self.decibel([image], grid)[0]).all(axis=0).mean())

    def layer(self, name: str, grid: Grid) -> NDArray[np.float32] | None:
        """Read a layer of the ground, float32 (y, x), NaN = unknown; None if the cube has none."""
        if not self.has_layer(name):
            return None
        rows, columns = grid.rows(), grid.columns()
        window = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        stored = self._layers.get(name)
        block = self._static[name][window].values if stored is None else stored[window]
        values = np.array(block, np.float32)
        fill = self._static[name].attrs.get("_FillValue")
        if fill is not None:
            values[values == np.float32(fill)] = np.nan
        picked: NDArray[np.float32] = _picked(values, rows, columns)
        return picked

    def conditions(self, images: Sequence[int], grid: Grid) -> Conditions:
        """Tell the conditions of images at the middle of a sample; the last is the target."""
        places = list(images)
        times = self.times[places]
        weather = {name: np.full(len(places), np.nan) for name in ("temperature", "snow_depth")}
        rain = np.full((len(places), PRECIPITATION_DAYS), np.nan)
        if self._weather is not None:
            middle = self.position(grid)
            weather = {name: self._weather.daily(name, times, middle) for name in weather}
            days = [times - back * _DAY for back in range(PRECIPITATION_DAYS)]
            rain = np.stack([self._weather.daily("precipitation", day, middle) for day in days], axis=1)
        heading = self._columns["heading"][places].astype(np.float64)
        return Conditions(
            temperature=weather["temperature"],
            snow_depth=weather["snow_depth"],
            heading=(heading + 180) % 360 - 180,
            incidence=self._columns["incidence_angle"][places].astype(np.float64),
            precipitation=rain,
            platform=tuple(str(name or "") for name in self.platforms[places]),
            age=(times[-1] - times) / _DAY,
        )

    def position(self, grid: Grid) -> tuple[float, float]:
        """Tell x and y of the middle of a sample, in the cube's CRS."""
        middle = (grid.x + grid.size * grid.step_x / 2, grid.y + grid.size * grid.step_y / 2)
        x, y = self.geobox.affine @ middle
        return float(x), float(y)

    def location(self, grid: Grid) -> tuple[float, float]:
        """Tell latitude and longitude of the middle of a sample, degrees."""
        longitude, latitude = self._degrees.transform(*self.position(grid))
        return float(latitude), float(longitude)

    def digest(self, images: Sequence[Acquired]) -> str:
        """Sum up the grid, the bands, some images and a few of their pixels, to know the cube again.

        Images that are appended later do not change it.
        """
        summary = hashlib.sha256()
        summary.update(json.dumps([grid_document(self.geobox), self.bands, images], sort_keys=True).encode())
        places = self.find(images)
        height, width = self.size
        window = slice(height // 2, height // 2 + _PROBE), slice(width // 2, width // 2 + _PROBE)
        for place in sorted({places[0], places[len(places) // 2], places[-1]} if places else ()):
            summary.update(np.ascontiguousarray(self._image(place, window), "<f4").tobytes())
        return summary.hexdigest()


def _series(path: Path | None) -> Series | None:
    return None if path is None else open_series(read_header(path), "sar")


def _column(sar: xr.Dataset, name: str, default: Any) -> NDArray[Any]:
    if name in sar.coords:
        return np.atleast_1d(sar[name].values)
    return np.full(sar.sizes["time"], default, dtype=object if default == "" else None)


def _layer(path: Path, name: Any) -> Any:
    return open_array(path / "static" / str(name))


def _picked(values: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Any:
    """Take nearest neighbours out of the block that holds them."""
    if values.shape[-2:] == (len(rows), len(columns)):
        return values
    return values[..., (rows - rows[0])[:, None], (columns - columns[0])[None, :]]


class _Weather:
    """Daily weather in memory: one value per day, or the nearest cell of a coarse grid."""

    def __init__(self, tree: xr.DataTree, crs: Any) -> None:
        dataset = tree["weather"].to_dataset()
        self._dataset = dataset.compute(scheduler="synchronous")
        self._days = dataset["day"].values.astype("datetime64[D]")
        order = np.argsort(self._days, kind="stable")
        self._days, self._order = self._days[order], order
        own = dataset.odc.crs if "y" in dataset.dims else None
        self._convert = None
        if own is not None and own != crs:
            self._convert = Transformer.from_crs(crs, own, always_xy=True)

    def daily(
        self, name: str, times: NDArray[np.datetime64], middle: tuple[float, float]
    ) -> NDArray[np.float64]:
        """Give the values of the days of some times; NaN where there is none."""
        if name not in self._dataset:
            return np.full(len(times), np.nan)
        days = times.astype("datetime64[D]")
        places = np.clip(np.searchsorted(self._days, days), 0, len(self._days) - 1)
        array = self._dataset[name]
        if array.ndim == 3:
            x, y = middle if self._convert is None else self._convert.transform(*middle)
            cell = int(np.abs(array["y"].values - y).argmin()), int(np.abs(array["x"].values - x).argmin())
            values = array.values[:, cell[0], cell[1]]
        else:
            values = array.values
        found = self._days[places] == days
        return np.where(found, values[self._order[places]].astype(np.float64), np.nan)


def require_known(conditions: Conditions, required: Sequence[str], what: str) -> None:
    """Refuse conditions of which something is unknown that is required, by name."""
    missing = [name for name in conditions.missing() if name in required]
    if missing:
        raise InputError(
            f"{what}: {', '.join(missing)} unknown for at least one image; add it to the cube "
            "(terradelta.cube.write_weather, or the images' own metadata) or leave it out of require"
        )
