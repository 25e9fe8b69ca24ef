"""Small pictures of large rasters: decimated values for maps and the range of their colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.windows import Window

from terradelta.products.layers import LAYERS, Layer, valid

__all__ = ["Preview", "load_preview"]

_PIXELS = 900


@dataclass(frozen=True)
class Preview:
    """A decimated layer.

    Attributes
    ----------
    layer : Layer
        Row of the table of layers.
    values : ndarray (rows, columns)
        float64 with NaN for no data.
    geobox : GeoBox
        Full grid.
    unit, label : str
        Unit, and the band's name where the layer has several.
    description : str
        What the file says that it shows; empty: what the table of layers says.
    """

    layer: Layer
    values: NDArray[np.float64]
    geobox: GeoBox
    unit: str
    label: str = ""
    description: str = ""

    def limits(self) -> tuple[float, float]:
        """Give the values of the first and the last colour.

        Measures leave out the outermost 0.5 % on both sides; a diverging ramp has zero in its middle.

        Returns
        -------
        tuple of float
            Lowest and highest, never equal.
        """
        values = self.values[np.isfinite(self.values)]
        if not values.size:
            return (0.0, 1.0)
        if self.layer.kind != "measure":
            low = 0.0 if self.layer.kind == "count" else float(values.min())
            return (low, max(float(values.max()), low + 1))
        low, high = (float(value) for value in np.quantile(values, (0.005, 0.995)))
        if self.layer.diverging:
            high = max(abs(low), abs(high)) or 1.0
            return (-high, high)
        return (low, high if high > low else low + 1.0)


def load_preview(path: Path, geobox: GeoBox, *, pixels: int = _PIXELS) -> list[Preview]:
    """Read a layer's file decimated.

    Measures are averaged, from overviews. Integer layers keep the largest value of each cell, so
    that a small change stays visible; they are read in strips, never whole.

    Parameters
    ----------
    path : Path
        ``change.tif``, ``score.tif`` ...
    geobox : GeoBox
        Its grid.
    pixels : int
        Largest number of rows or columns.

    Returns
    -------
    list of Preview
        One per band.
    """
    layer = LAYERS[path.stem]
    factor = max(1, -(-max(geobox.shape) // pixels))
    with rasterio.open(path) as file:
        read = _largest if layer.is_integer else _average
        told = [str(text or "") for text in file.descriptions]
        parts = [text.partition(": ") if file.count > 1 else ("", "", text) for text in told]
        return [
            Preview(
                layer,
                read(file, layer, index, factor),
                geobox,
                file.units[index - 1] or layer.unit,
                name,
                text,
            )
            for index, (name, _, text) in enumerate(parts, 1)
        ]


def _average(file: Any, layer: Layer, band: int, factor: int) -> NDArray[np.float64]:
    shape = (-(-file.height // factor), -(-file.width // factor))
    values = file.read(band, out_shape=shape, resampling=Resampling.average, masked=False).astype("float64")
    return np.where(valid(layer, values), values, np.nan)


def _largest(file: Any, layer: Layer, band: int, factor: int) -> NDArray[np.float64]:
    rows, columns = np.arange(0, file.height, factor), np.arange(0, file.width, factor)
    found = np.full((rows.size, columns.size), -1, dtype="int64")
    step = max(1, 512 // factor) * factor
    for start in range(0, file.height, step):
        block = file.read(band, window=Window(0, start, file.width, min(step, file.height - start)))
        block = np.where(valid(layer, block), block.astype("int64"), -1)
        block = np.maximum.reduceat(block, np.arange(0, block.shape[0], factor), axis=0)
        found[start // factor :][: block.shape[0]] = np.maximum.reduceat(block, columns, axis=1)
    return np.where(found >= 0, found, np.nan)
