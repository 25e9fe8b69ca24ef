"""Pixels of items onto a grid, by the project's own rules for resampling and no data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from terradelta.errors import AccessError
from terradelta.sources.layers import Decoding, Layer
from terradelta.sources.names import Group
from terradelta.sources.reading import read_categories, read_measurement
from terradelta.sources.remote.offers import Images
from terradelta.sources.remote.opening import RemoteRaster, open_raster, remote_reading
from terradelta.sources.remote.retrying import PATIENCE, Patience, retried
from terradelta.sources.remote.stac.profile import Access
from terradelta.sources.remote.stac.signing import forget, require_keys, signed

__all__ = ["Asset", "ImageReader", "LayerReader", "Opening", "Piece"]


@dataclass(frozen=True)
class Asset:
    """One file of an item, and how its numbers are to be read.

    Attributes
    ----------
    address : str
        Where it lies, not signed.
    band : str
        VV, B02, SCL, dem, ...
    decoding : Decoding
        How its numbers are to be read; the file's own no-data values count as well.
    collection : str
        Collection of the item; links are signed by it.
    """

    address: str
    band: str
    decoding: Decoding = field(default_factory=Decoding)
    collection: str = ""

    @property
    def name(self) -> str:
        """Name for messages."""
        return Path(self.address.partition("?")[0]).name


@dataclass(frozen=True)
class Piece:
    """What one item gives to an acquisition.

    Attributes
    ----------
    bands : tuple of Asset
        In the order of the acquisition's bands.
    mask : Asset or None
        Scene classification.
    clear : tuple of int
        Classes of the mask that count as clear.
    """

    bands: tuple[Asset, ...]
    mask: Asset | None = None
    clear: tuple[int, ...] = ()


@dataclass(frozen=True)
class Opening:
    """How files of a catalogue are opened.

    Attributes
    ----------
    access : Access
        Signing and options.
    patience : Patience
        With the server.
    """

    access: Access = field(default_factory=Access)
    patience: Patience = PATIENCE

    def read(self, asset: Asset, use: Callable[[Layer, RemoteRaster], NDArray[Any]]) -> NDArray[Any]:
        """Open a file and use it; again from the start where that may help.

        Raises
        ------
        AccessError, UnavailableError, SourceError
            As of :func:`terradelta.sources.remote.opening.open_raster`.
        """
        require_keys(asset.address, self.access)
        return retried(partial(self._once, asset, use), self.patience)

    def _once(self, asset: Asset, use: Callable[[Layer, RemoteRaster], NDArray[Any]]) -> NDArray[Any]:
        address = self._signed(asset)
        try:
            return self._opened(address, asset, use)
        except AccessError:
            if not forget(address, asset.collection, self.access):
                raise
        return self._opened(self._signed(asset), asset, use)

    def _signed(self, asset: Asset) -> str:
        return signed(asset.address, asset.collection, self.access, self.patience)

    def _opened(
        self, address: str, asset: Asset, use: Callable[[Layer, RemoteRaster], NDArray[Any]]
    ) -> NDArray[Any]:
        with (
            remote_reading(**self.access.options),
            open_raster(address, asset.name, access=self.access.help) as raster,
        ):
            return use(_layer(asset, raster), raster)


def _layer(asset: Asset, raster: RemoteRaster) -> Layer:
    decoding = replace(asset.decoding, nodata=(*asset.decoding.nodata, *raster.raw.nodata))
    group: Group = "static" if asset.band in ("dem", "land_cover") else ""
    return Layer(raster.raw, raster.raw.grid, group, asset.band, decoding)


def _measured(grid: GeoBox, layer: Layer, raster: RemoteRaster) -> NDArray[np.float32]:
    return read_measurement(layer, grid, raster.window)


def _classes(grid: GeoBox, layer: Layer, raster: RemoteRaster) -> NDArray[Any]:
    return read_categories(layer, grid, read=raster.window)


def _mosaic(opening: Opening, assets: tuple[Asset, ...], grid: GeoBox) -> NDArray[np.float32]:
    """Pixels of one band; where pieces overlap the first with data wins."""
    result: NDArray[np.float32] = opening.read(assets[0], partial(_measured, grid))
    for asset in assets[1:]:
        holes = np.isnan(result)
        if not holes.any():
            break
        result[holes] = opening.read(asset, partial(_measured, grid))[holes]
    return result


@dataclass(frozen=True)
class ImageReader:
    """Reads the pixels of one acquisition on a grid.

    Attributes
    ----------
    pieces : tuple of Piece
        In the order in which they win.
    opening : Opening
        How files are opened.
    """

    pieces: tuple[Piece, ...]
    opening: Opening

    def __call__(self, grid: GeoBox) -> Images:
        """Give values (band, y, x) and what is clear, where a tile has a mask; other tiles then are not."""
        bands = zip(*(piece.bands for piece in self.pieces), strict=True)
        values = np.stack([_mosaic(self.opening, assets, grid) for assets in bands])
        if all(piece.mask is None for piece in self.pieces):
            return Images(values)
        clear = np.zeros(grid.shape, dtype=bool)
        for piece in self.pieces:
            if piece.mask is not None:
                classes = self.opening.read(piece.mask, partial(_classes, grid))
                clear |= np.isin(classes, piece.clear)
        return Images(values, clear & np.isfinite(values).all(axis=0))


@dataclass(frozen=True)
class LayerReader:
    """Reads a layer without time on a grid.

    Attributes
    ----------
    assets : tuple of Asset
        Its tiles.
    categorical : bool
        Classes, nearest neighbour, 0 where there are none; else measurements, NaN.
    opening : Opening
        How files are opened.
    """

    assets: tuple[Asset, ...]
    categorical: bool
    opening: Opening

    def __call__(self, grid: GeoBox) -> NDArray[Any]:
        """Give the values (y, x)."""
        if not self.categorical:
            return _mosaic(self.opening, self.assets, grid)
        result = self.opening.read(self.assets[0], partial(_classes, grid))
        for asset in self.assets[1:]:
            more = self.opening.read(asset, partial(_classes, grid))
            result = np.where(result == 0, more, result)
        return result
