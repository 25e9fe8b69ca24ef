"""Land cover that follows the terrain, parcel by parcel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terradelta.simulate.covers import COVERS, Cover, cover_index
from terradelta.simulate.fields import fractal, parcels, smooth
from terradelta.simulate.streams import stream
from terradelta.simulate.terrain import Terrain
from terradelta.types import BoolArray, FloatArray, Size

__all__ = ["SHARES", "Landscape", "make_landscape"]

SHARES = {Cover.URBAN: 0.09, Cover.FOREST: 0.36, Cover.BARE: 0.05, Cover.GRASS: 0.20}
_RIVER = 110.0
_LAKES = 0.015


@dataclass(frozen=True, eq=False)
class Landscape:
    """What covers the ground; all rasters are (y, x).

    Attributes
    ----------
    cover : ndarray of uint8
        Codes of `Cover`.
    index : ndarray of uint8
        Position of the class in `COVERS`.
    parcel : ndarray of int32
        Number of the parcel.
    deciduous : ndarray of float32
        Share of deciduous trees, 0..1 (0 outside forest).
    wetness : ndarray of float32
        How strongly a place answers to rain, mean 1.
    texture : ndarray of float32
        Offset in dB of each place from its class.
    """

    cover: NDArray[np.uint8]
    index: NDArray[np.uint8]
    parcel: NDArray[np.int32]
    deciduous: FloatArray
    wetness: FloatArray
    texture: FloatArray


def _highest(score: FloatArray, area: NDArray[np.intp], share: float, free: BoolArray) -> BoolArray:
    """Choose the free parcels of highest score until they fill a share of the ground."""
    order = np.argsort(-np.where(free, score, -np.inf), kind="stable")
    filled = np.cumsum(area[order]) - area[order] / 2 <= share * area.sum()
    chosen = np.zeros(score.size, bool)
    chosen[order[filled]] = True
    return np.asarray(chosen & free)


def _parcel_scores(
    seed: int, terrain: Terrain, parcel: NDArray[np.int32], resolution: float
) -> tuple[dict[Cover, FloatArray], NDArray[np.intp]]:
    """Say how well each parcel suits each class, and how many pixels it has."""
    size = Size(*parcel.shape)
    area = np.bincount(parcel.ravel())
    near = np.exp(-terrain.river_distance / 1500.0)
    steep = np.hypot(*np.gradient(terrain.dem, resolution))
    clusters = {c: fractal(stream(seed, "cover", c), size, resolution, scale=2000.0) for c in SHARES}
    rasters = {
        Cover.URBAN: clusters[Cover.URBAN] + 2.0 * near - 8.0 * steep,
        Cover.FOREST: clusters[Cover.FOREST] + 10.0 * steep - near,
        Cover.BARE: clusters[Cover.BARE],
        Cover.GRASS: clusters[Cover.GRASS] + 0.5 * near,
    }
    scores: dict[Cover, FloatArray] = {}
    for cover, raster in rasters.items():
        scores[cover] = np.bincount(parcel.ravel(), raster.ravel()) / area
    return scores, area


def _shares(urban: float) -> dict[Cover, float]:
    """Give the share of each class for a share of town; the others keep their proportions."""
    rest = (1 - urban) / (1 - SHARES[Cover.URBAN])
    return {cover: urban if cover == Cover.URBAN else share * rest for cover, share in SHARES.items()}


def _cover(
    seed: int, terrain: Terrain, parcel: NDArray[np.int32], resolution: float, urban: float
) -> NDArray[np.uint8]:
    """Fill the parcels class by class, then let the water in."""
    scores, area = _parcel_scores(seed, terrain, parcel, resolution)
    kinds = np.full(area.size, int(Cover.FIELD), np.uint8)
    for cover, share in _shares(urban).items():
        kinds[_highest(scores[cover], area, share, kinds == Cover.FIELD)] = int(cover)
    land_cover = kinds[parcel]
    lakes = smooth(stream(seed, "lakes"), Size(*parcel.shape), resolution, scale=900.0)
    lakes = lakes + 4.0 * np.exp(-((terrain.river_distance / 350.0) ** 2))
    wet = (terrain.river_distance < _RIVER / 2) | (lakes > np.quantile(lakes, 1 - _LAKES))
    land_cover[wet] = int(Cover.WATER)
    return land_cover


def _texture(seed: int, index: NDArray[np.uint8], parcel: NDArray[np.int32], resolution: float) -> FloatArray:
    """Give the standing differences inside a class: half by parcel, half by fine pattern."""
    size = Size(*index.shape)
    rng = stream(seed, "texture")
    by_parcel = rng.standard_normal(int(parcel.max()) + 1, dtype=np.float32)[parcel]
    fine = fractal(rng, size, resolution, scale=200.0, roughness=1.5)
    spread = np.asarray([each.texture for each in COVERS], np.float32)[index]
    return np.asarray(spread * (by_parcel + fine) / np.sqrt(2.0), np.float32)


def make_landscape(
    seed: int, terrain: Terrain, resolution: float, *, urban: float = SHARES[Cover.URBAN]
) -> Landscape:
    """Cover the ground: towns near the river, forest on slopes, fields, grass and bare soil between.

    Parameters
    ----------
    seed : int
        Seed of the place.
    terrain : Terrain
        The ground.
    resolution : float
        Pixel size in m.
    urban : float
        Share of the ground that is town.

    Returns
    -------
    Landscape

    Examples
    --------
    >>> from terradelta.simulate.terrain import make_terrain
    >>> ground = make_terrain(0, Size(64, 64), 20.0, relief=200.0)
    >>> make_landscape(0, ground, 20.0).cover.dtype
    dtype('uint8')
    """
    size = Size(*terrain.dem.shape)
    parcel = parcels(stream(seed, "parcels"), size, resolution, width=130.0)
    land_cover = _cover(seed, terrain, parcel, resolution, urban)
    index = cover_index(land_cover).astype(np.uint8)
    trees = smooth(stream(seed, "trees"), size, resolution, scale=1200.0)
    deciduous = np.where(land_cover == Cover.FOREST, 1 / (1 + np.exp(-2.0 * trees)), 0.0)
    wetness = 1 + 0.2 * np.clip(smooth(stream(seed, "wetness"), size, resolution, scale=1000.0), -2, 2)
    return Landscape(
        cover=land_cover,
        index=index,
        parcel=parcel,
        deciduous=deciduous.astype(np.float32),
        wetness=(wetness / wetness.mean()).astype(np.float32),
        texture=_texture(seed, index, parcel, resolution),
    )
