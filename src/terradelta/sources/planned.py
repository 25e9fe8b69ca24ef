"""One acquisition that is planned: known from headers, read only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.cube import OpticalAcquisition, SarAcquisition
from terradelta.sources.layers import Flight, Layer
from terradelta.sources.reading import read_categories, read_mosaic
from terradelta.sources.times import Time

__all__ = ["BLOCK", "PlannedAcquisition", "lazy_blocks", "read_bands", "read_clear"]

BLOCK = 1024
"""Edge of the blocks that are read at once, in pixels of the cube."""

Frames = tuple[Layer, ...]


@dataclass(frozen=True)
class PlannedAcquisition:
    """An image of all bands at one time, not read yet.

    Attributes
    ----------
    group : str
        "sar" or "optical".
    time : numpy.datetime64
        Start of the acquisition, UTC.
    bands : tuple of str
        Names of the bands.
    frames : tuple of tuple of Layer
        For each band the images that make it up (one, or the frames of a pass).
    mask : tuple of Layer
        Scene classification; empty where there is none.
    flight : Flight
        Platform, direction, track.
    source_id : str
        Name of the product or file.
    offset_applied : bool
        The Sentinel-2 offset of -1000 DN is taken off on reading.
    radiometry : str
        What the radar values measure, such as "gamma0-rtc"; empty if unknown.
    estimated : tuple of str
        Names of values of `flight` that are estimates.
    """

    group: str
    time: Time
    bands: tuple[str, ...]
    frames: tuple[Frames, ...]
    mask: Frames
    flight: Flight
    source_id: str
    offset_applied: bool = False
    radiometry: str = ""
    estimated: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files it is read from."""
        return tuple(dict.fromkeys(layer.name for frames in (*self.frames, self.mask) for layer in frames))

    def nbytes(self, grid: GeoBox) -> int:
        """Size of the pixels on a grid, in bytes."""
        rows, columns = grid.shape
        return 4 * len(self.bands) * rows * columns

    def load(self, grid: GeoBox) -> SarAcquisition | OpticalAcquisition:
        """Give the acquisition on a grid; pixels are read by dask, block by block, when they are asked for.

        Parameters
        ----------
        grid : GeoBox
            Grid of the cube.

        Returns
        -------
        SarAcquisition or OpticalAcquisition
            Linear power or reflectance (band, y, x) float32, NaN = no data.
        """
        read = partial(read_bands, self.frames)
        values = lazy_blocks(read, grid, np.dtype(np.float32), len(self.bands))
        if self.group == "sar":
            flight = self.flight
            return SarAcquisition(
                time=self.time,
                bands=self.bands,
                backscatter=values,
                orbit_direction=flight.orbit_direction,
                relative_orbit=flight.relative_orbit,
                platform=flight.platform,
                incidence_angle=flight.incidence_angle,
                heading=flight.heading,
                source_id=self.source_id,
                radiometry=self.radiometry,
                estimated=",".join(self.estimated),
            )
        clear = da.isfinite(values).all(axis=0)
        if self.mask:
            clear = clear & lazy_blocks(partial(read_clear, self.mask), grid, np.dtype(bool), None)
        return OpticalAcquisition(
            time=self.time,
            bands=self.bands,
            reflectance=values,
            clear=clear,
            platform=self.flight.platform,
            source_id=self.source_id,
            offset_applied=self.offset_applied,
        )


def read_bands(frames: Sequence[Frames], grid: GeoBox) -> NDArray[np.float32]:
    """Read all bands (band, y, x) of an acquisition from the frames that make up each of them."""
    return np.stack([read_mosaic(layers, grid) for layers in frames])


def read_clear(mask: Frames, grid: GeoBox) -> NDArray[np.bool_]:
    """Tell where (y, x) any frame of a mask says clear."""
    clear = np.zeros(grid.shape, dtype=bool)
    for layer in mask:
        clear |= np.isin(read_categories(layer, grid), layer.clear_values)
    return clear


def lazy_blocks(
    read: Callable[[GeoBox], NDArray[Any]], grid: GeoBox, dtype: np.dtype[Any], bands: int | None
) -> da.Array:
    """Dask array of an image that is read in blocks.

    Parameters
    ----------
    read : callable
        Gives the pixels of a block on its grid, all bands at once.
    grid : GeoBox
        Grid of the whole image.
    dtype : numpy.dtype
        Type of the pixels.
    bands : int or None
        Number of bands; None for an image (y, x).

    Returns
    -------
    dask.array.Array
        (band, y, x) or (y, x), in blocks of 1024 × 1024 pixels with all bands.
    """
    edges = [tuple(min(BLOCK, size - start) for start in range(0, size, BLOCK)) for size in grid.shape]
    chunks = tuple(edges) if bands is None else ((bands,), *edges)
    image: da.Array = da.map_blocks(  # type: ignore[no-untyped-call]
        partial(_block, read, grid),
        chunks=chunks,
        dtype=dtype,
        meta=np.empty((0,) * len(chunks), dtype=dtype),
        name=f"terradelta-source-{uuid4().hex}",
    )
    return image


def _block(read: Callable[[GeoBox], NDArray[Any]], grid: GeoBox, block_info: Any = None) -> NDArray[Any]:
    """One block: its place comes from dask."""
    (top, bottom), (left, right) = block_info[None]["array-location"][-2:]
    return read(grid[top:bottom, left:right])
