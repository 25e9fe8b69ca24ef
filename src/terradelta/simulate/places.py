"""Whole places: radar, optical, static layers, weather and truth in one tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from pyproj import Transformer

from terradelta.simulate.atmosphere import Air
from terradelta.simulate.changes import Change, draw_changes
from terradelta.simulate.covers import BANDS, COVERS, Cover
from terradelta.simulate.landscape import Landscape, make_landscape
from terradelta.simulate.optical import OPTICAL_BANDS, make_optical
from terradelta.simulate.orbits import Pass, heading, passes
from terradelta.simulate.radar import Radar
from terradelta.simulate.scenario import Scenario
from terradelta.simulate.terrain import Terrain, make_terrain
from terradelta.simulate.truth import change_table, truth_layers
from terradelta.simulate.weather import Weather, make_weather
from terradelta.types import FloatArray

__all__ = ["place"]

_SCHEMA = 1
_SPIN_UP = np.timedelta64(60, "D")


def place(seed: int = 0, scenario: Scenario | None = None, **settings: Any) -> xr.DataTree:
    """Simulate a place whose changes are known.

    Parameters
    ----------
    seed : int
        The same seed and settings give the same bytes.
    scenario : Scenario, optional
        Settings; the default ones if not given.
    **settings
        Single settings that replace those of the scenario, by their names in `Scenario`: ``size``, ``years``,
        ``start``, ``orbits``, ``effects``, ``changes``, ``looks``, ``smoothing`` ...

    Returns
    -------
    xarray.DataTree
        In memory, in the model of a cube: groups ``sar`` (``backscatter``: gamma0 in linear power),
        ``optical``, ``static``, ``weather`` (from 60 days before the start), ``truth`` (rasters; its child
        ``changes`` is the table of the changes).

    Raises
    ------
    InputError
        If a setting is unknown or out of range, or the changes find no room.

    Notes
    -----
    Every part draws from a random stream of its own: with another number of changes, or an effect switched
    off, all else stays equal to the last bit (unless images are smoothed).

    Examples
    --------
    >>> tree = place(seed=0, size=48, years=0.2, changes=1)
    >>> tree["sar"]["backscatter"].dims
    ('time', 'band', 'y', 'x')
    """
    scenario = (scenario or Scenario()).using(**settings)
    geobox = _geobox(scenario)
    ground = make_terrain(seed, scenario.shape, scenario.resolution, relief=scenario.relief)
    land = make_landscape(seed, ground, scenario.resolution, urban=scenario.urban)
    sky = _weather(seed, scenario)
    changes = scenario.changes
    if isinstance(changes, int):
        changes = draw_changes(
            seed,
            changes,
            land,
            ground.river_distance,
            scenario.period,
            kinds=scenario.kinds,
            works_days=scenario.works_days,
            largest=scenario.largest_change,
        )
    flown = passes(scenario.orbits, *scenario.period)
    latitude = _latitude(geobox)
    images = Radar(seed, scenario, ground, land, sky, latitude).images(flown, changes)
    groups = {
        "/": xr.Dataset(attrs={"terradelta_schema": _SCHEMA, "name": f"simulated-{seed}", "seed": seed}),
        "sar": _on_grid(_sar(images, flown, latitude), geobox),
        "static": _on_grid(_static(ground, land), geobox),
        "weather": _weather_group(sky),
        "truth": _on_grid(truth_layers(changes, geobox), geobox),
        "truth/changes": change_table(changes, geobox),
    }
    if scenario.optical_days:
        groups["optical"] = _on_grid(_optical(seed, scenario, land, changes, latitude), geobox)
    return xr.DataTree.from_dict(groups)


def _geobox(scenario: Scenario) -> GeoBox:
    """Lay the grid."""
    east, north = scenario.origin
    step = scenario.resolution
    return GeoBox(scenario.shape, Affine(step, 0.0, east, 0.0, -step, north), scenario.crs)


def _latitude(geobox: GeoBox) -> float:
    """Give the latitude of the middle in degrees."""
    left, bottom, right, top = geobox.boundingbox
    to_degrees = Transformer.from_crs(geobox.crs, "EPSG:4326", always_xy=True)
    return float(to_degrees.transform((left + right) / 2, (bottom + top) / 2)[1])


def _weather(seed: int, scenario: Scenario) -> Weather:
    """Draw the weather of the period, with some time before it."""
    start, end = scenario.period
    return make_weather(
        seed,
        start - _SPIN_UP,
        end,
        mean=scenario.mean_temperature,
        amplitude=scenario.temperature_amplitude,
    )


def _on_grid(dataset: xr.Dataset, geobox: GeoBox) -> xr.Dataset:
    """Give a data set the coordinates of the grid and its CRS."""
    dataset = dataset.assign_coords(xr_coords(geobox))
    for variable in dataset.data_vars.values():
        if variable.dims[-2:] == geobox.dimensions:
            variable.encoding["grid_mapping"] = "spatial_ref"
    return dataset


def _text(values: list[str]) -> xr.Variable:
    """Make text along time, of variable length (Zarr v3 has no fixed-length text)."""
    return xr.Variable("time", np.array(values, object))


def _sar(images: FloatArray, flown: tuple[Pass, ...], latitude: float) -> xr.Dataset:
    """Put the radar images into the model of a cube."""
    orbits = [each.orbit for each in flown]
    stamps = [str(each.time.astype("datetime64[s]")).replace("-", "").replace(":", "") for each in flown]
    names = [f"{p.platform}_SIM_{t}_{p.orbit.number:03d}" for p, t in zip(flown, stamps, strict=True)]
    flights = [heading(latitude, each.direction) for each in orbits]
    attributes = {"units": "1", "long_name": "gamma0 in linear power"}
    return xr.Dataset(
        {"backscatter": (("time", "band", "y", "x"), images, attributes)},
        coords={
            "time": np.array([each.time for each in flown], "datetime64[ns]"),
            "band": np.array(BANDS, object),
            "orbit_direction": _text([each.direction for each in orbits]),
            "relative_orbit": ("time", np.array([each.number for each in orbits], np.int32)),
            "platform": _text([each.platform for each in flown]),
            "incidence_angle": (
                "time",
                np.array([each.incidence_angle for each in orbits], np.float32),
                {"units": "degree"},
            ),
            "heading": ("time", np.array(flights, np.float32), {"units": "degree"}),
            "source_id": _text(names),
        },
    )


def _static(ground: Terrain, land: Landscape) -> xr.Dataset:
    """Put the layers without time into the model of a cube; they show the start of the series."""
    classes = {
        "long_name": "land cover at the start, codes of ESA WorldCover",
        "flag_values": [int(each.cover) for each in COVERS],
        "flag_meanings": " ".join(each.cover.name.lower() for each in COVERS),
    }
    forest = (land.cover == Cover.FOREST).astype(np.uint8)
    return xr.Dataset(
        {
            "dem": (("y", "x"), ground.dem, {"units": "m", "long_name": "elevation"}),
            "forest": (("y", "x"), forest, {"units": "1", "long_name": "forest at the start"}),
            "land_cover": (("y", "x"), land.cover, classes),
        }
    )


def _weather_group(sky: Weather) -> xr.Dataset:
    """Put the weather into the model of a cube."""
    return xr.Dataset(
        {
            "temperature": ("day", sky.temperature, {"units": "degC", "long_name": "daily mean"}),
            "precipitation": ("day", sky.precipitation, {"units": "mm/day"}),
            "snow_depth": ("day", sky.snow_depth, {"units": "cm"}),
        },
        coords={"day": sky.day.astype("datetime64[ns]")},
    )


def _optical(
    seed: int, scenario: Scenario, land: Landscape, changes: tuple[Change, ...], latitude: float
) -> xr.Dataset:
    """Put the optical images into the model of a cube."""
    images = make_optical(
        seed,
        land,
        changes,
        scenario.period,
        resolution=scenario.resolution,
        days=scenario.optical_days,
        air=Air(latitude, haze=scenario.haze, shadows=scenario.shadows, clouds=scenario.clouds),
    )
    days = images.time.astype("datetime64[D]")
    names = [f"{platform}_SIM_{day}" for platform, day in zip(images.platform, days, strict=True)]
    return xr.Dataset(
        {
            "reflectance": (("time", "band", "y", "x"), images.reflectance, {"units": "1"}),
            "clear": (("time", "y", "x"), images.clear, {"long_name": "free of cloud and shadow"}),
        },
        coords={
            "time": images.time,
            "band": np.array(OPTICAL_BANDS, object),
            "platform": _text(list(images.platform)),
            "source_id": _text(names),
            "offset_applied": ("time", np.ones(images.time.size, bool)),
        },
    )
