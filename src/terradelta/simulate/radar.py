"""From a landscape and its weather to a stack of Sentinel-1 images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terradelta.simulate import ground, plants, sensor
from terradelta.simulate.changes import Change, add_changes
from terradelta.simulate.covers import Cover, cover_column
from terradelta.simulate.edges import edges_db
from terradelta.simulate.landscape import Landscape
from terradelta.simulate.orbits import Orbit, Pass, heading, incidence_map, look_azimuth
from terradelta.simulate.scenario import Scenario
from terradelta.simulate.speckle import speckle
from terradelta.simulate.streams import stream
from terradelta.simulate.terrain import Terrain, slope_along
from terradelta.simulate.weather import Weather, day_of_year
from terradelta.types import FloatArray

__all__ = ["Radar"]

_TO_NATURAL = np.float32(np.log(10.0) / 10.0)


@dataclass(frozen=True, eq=False)
class Radar:
    """Makes the images of one place.

    Attributes
    ----------
    seed : int
        Seed of the place.
    scenario : Scenario
        Its settings.
    terrain, land, weather : Terrain, Landscape, Weather
        The place.
    latitude : float
        Of its middle, in degrees.
    """

    seed: int
    scenario: Scenario
    terrain: Terrain
    land: Landscape
    weather: Weather
    latitude: float

    def images(self, passes: tuple[Pass, ...], changes: tuple[Change, ...]) -> FloatArray:
        """Make all images.

        Parameters
        ----------
        passes : tuple of Pass
            When and from where.
        changes : tuple of Change
            What changes.

        Returns
        -------
        ndarray, (time, band, y, x), float32
            gamma0 in linear power.
        """
        standing = {orbit: self.standing(orbit) for orbit in dict.fromkeys(each.orbit for each in passes)}
        filtered, moving = self._filter(), _Moving(self)
        images = np.empty((len(passes), 2, *self.scenario.shape), np.float32)
        for image, flown in zip(images, passes, strict=True):
            np.add(standing[flown.orbit], moving.decibel(flown), out=image)
            add_changes(image, changes, flown.time)
            np.multiply(image, _TO_NATURAL, out=image)
            np.exp(image, out=image)
            self._receive(image, flown)
            if filtered is not None:
                for band in image:
                    band[...] = filtered(band, self.scenario.looks)
        return images

    def standing(self, orbit: Orbit) -> FloatArray:
        """Give what is the same in each pass of an orbit: level, texture, geometry and bright points.

        Parameters
        ----------
        orbit : Orbit
            The relative orbit.

        Returns
        -------
        ndarray, (band, y, x), float32
            dB.
        """
        on, land, scenario = self.scenario.effects, self.land, self.scenario
        flight = heading(self.latitude, orbit.direction)
        azimuth = look_azimuth(flight)
        angle = incidence_map(orbit, flight, scenario.shape, scenario.resolution)
        decibel = cover_column("level")[:, land.index] + land.texture
        if on.incidence:
            decibel += ground.incidence_db(angle, cover_column("exponent")[:, land.index])
        if on.terrain and scenario.flattening < 1:
            slope = slope_along(self.terrain.dem, scenario.resolution, azimuth)
            decibel += (1.0 - scenario.flattening) * ground.terrain_db(slope, angle)
        if on.edges:
            decibel += edges_db(land.cover, angle, azimuth, scenario.resolution)
        if on.points:
            rng = stream(self.seed, "points", orbit.direction)
            decibel += ground.urban_points_db(rng, land.cover == Cover.URBAN)
        return np.asarray(decibel, np.float32)

    def _receive(self, image: FloatArray, flown: Pass) -> None:
        """Add noise and speckle to an image of linear power, in place."""
        on, scenario = self.scenario.effects, self.scenario
        if on.noise:
            image[...] = sensor.add_noise_floor(image, scenario.noise_floor)
        if on.speckle:
            image *= speckle(
                _of_pass(self.seed, "speckle", flown),
                image.shape,
                scenario.looks,
                resolution=scenario.speckle_resolution,
                spacing=scenario.resolution,
            )

    def _filter(self) -> Callable[[FloatArray, float], FloatArray] | None:
        """Give the smoothing filter."""
        chosen = self.scenario.smoothing
        if chosen == "none":
            return None
        if chosen == "refined_lee":
            from terradelta.sar import refined_lee

            return refined_lee
        return chosen


class _Moving:
    """What differs from pass to pass: weather, season, satellite; all in dB."""

    def __init__(self, radar: Radar) -> None:
        self.radar = radar
        land = radar.land
        self.forest = (land.cover == Cover.FOREST).astype(np.float32)
        self.index = land.index.astype(np.intp)
        rng = stream(radar.seed, "crops")
        count = int(land.parcel.max()) + 1
        # whatever is no field takes the extra last parcel, where nothing grows
        self.field = np.where(land.cover == Cover.FIELD, land.parcel, count).astype(np.intp)
        self.winter_crop = (rng.random(count) < 0.6).astype(np.float32)
        self.shift = rng.normal(0.0, 8.0, count).astype(np.float32)

    def decibel(self, flown: Pass) -> FloatArray:
        """Sum the effects of one pass: (band, y, x), float32."""
        on, land, seed = self.radar.scenario.effects, self.radar.land, self.radar.seed
        today = int(np.searchsorted(self.radar.weather.day, flown.time.astype("datetime64[D]")))
        total = _spread(self._by_cover(flown, today), self.index)
        if on.moisture:
            wet = ground.moisture_db(float(self.radar.weather.moisture[today])).astype(np.float32)
            total += _spread(wet, self.index) * land.wetness
        season = float(day_of_year(flown.time))
        if on.foliage:
            total += plants.foliage_db(season, land.deciduous, self.forest)
        if on.crops:
            grown = plants.crops_db(season, self.winter_crop, self.shift)
            total += _spread(np.pad(grown, ((0, 0), (0, 1))), self.field)
        if on.gain:
            total += sensor.gain_db(_of_pass(seed, "gain", flown)).astype(np.float32)[:, None, None]
        return total

    def _by_cover(self, flown: Pass, today: int) -> FloatArray:
        """Sum the effects that are the same all over a class: (band, cover), float32."""
        on, weather = self.radar.scenario.effects, self.radar.weather
        warmth, depth = float(weather.temperature[today]), float(weather.snow_depth[today])
        table = np.zeros_like(cover_column("level"))
        if on.frost:
            table += ground.frost_db(warmth)
        if on.snow:
            table += ground.wet_snow_db(warmth, depth)
        if on.wind:
            table += ground.wind_db(_of_pass(self.radar.seed, "wind", flown))
        if on.satellite:
            table += sensor.satellite_db(flown.platform)
        return table


def _spread(table: FloatArray, index: NDArray[np.intp]) -> FloatArray:
    """Look a (band, class) table up for each pixel."""
    return np.take(table, index, axis=1, mode="clip")


def _of_pass(seed: int, name: str, flown: Pass) -> np.random.Generator:
    """Give the random stream of one effect in one pass, whatever other passes there are."""
    day = int(flown.time.astype("datetime64[D]").astype(np.int64))
    return stream(seed, name, flown.orbit.number, day)
