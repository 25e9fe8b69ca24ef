"""Headings and incidence angles from the orbit alone, against those of real products."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import open_cube
from terradelta.sources import build_cube, scan
from terradelta.sources.conditions import completed, heading_at, incidence_at, places_on
from terradelta.sources.layers import Flight
from terradelta.sources.remote.completing import complete_offer
from terradelta.sources.remote.offers import Images, Offer
from terradelta.sources.safe import read_safe

ASCENDING = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8"
DESCENDING = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371"
SOMEWHERE = [(3.5, 45.5)]


@pytest.mark.parametrize("name", [ASCENDING, DESCENDING])
def test_estimates_are_those_of_real_products(shared: Path, name: str) -> None:
    product = read_safe(shared / "data/sentinel1_grd_safe" / f"{name}.SAFE")
    grid = product.images[0].grid
    points = list(zip(grid.longitude.ravel(), grid.latitude.ravel(), strict=True))
    angles = incidence_at(product.relative_orbit, product.orbit_direction, points)
    assert np.abs(angles - grid.incidence.ravel()).max() < 0.12
    assert heading_at(product.orbit_direction, grid.latitude.mean()) == pytest.approx(
        product.heading, abs=0.1
    )


@pytest.mark.parametrize("latitude", [0, 50, -50, 70])
@pytest.mark.parametrize(("direction", "start"), [("ascending", -np.pi / 2), ("descending", np.pi / 2)])
def test_headings_follow_the_latitude(latitude: float, direction: str, start: float) -> None:
    """Against the ground track, stepped along in small steps."""
    angle = np.linspace(start, start + np.pi, 200_001)[1:-1]
    tilt = np.radians(98.18)
    north = np.arcsin(np.sin(tilt) * np.sin(angle))
    east = np.unwrap(np.arctan2(np.cos(tilt) * np.sin(angle), np.cos(angle))) - angle * 12 / 175
    track = np.degrees(np.arctan2(np.gradient(east) * np.cos(north), np.gradient(north)))
    look = np.radians(track + 90)
    seen = np.arcsin(np.sin(north) * np.cos(0.0768) + np.cos(north) * np.sin(0.0768) * np.cos(look))
    slow = track[np.argmin(np.abs(seen - np.radians(latitude)))]
    assert heading_at(direction, latitude) == pytest.approx(slow, abs=0.02)


def test_nothing_is_told_where_nothing_flies() -> None:
    assert math.isnan(heading_at("", 45))
    assert math.isnan(heading_at("ascending", 89))
    assert np.isnan(incidence_at(0, "ascending", SOMEWHERE)).all()
    assert np.isnan(incidence_at(59, "descending", SOMEWHERE)).all()
    assert np.isnan(incidence_at(176, "ascending", SOMEWHERE)).all()


def test_every_place_is_seen_by_few_tracks_on_both_sides_of_the_equator() -> None:
    for latitude, most in ((-60.0, 16), (-33.0, 8), (0.5, 5), (45.5, 9)):
        for direction in ("ascending", "descending"):
            angles = np.concatenate(
                [incidence_at(orbit, direction, [(-71.5, latitude)]) for orbit in range(1, 176)]
            )
            assert 1 <= np.isfinite(angles).sum() <= most
    assert incidence_at(18, "ascending", [(-71.5, -33.1)])[0] == pytest.approx(36.3, abs=1)


def test_bursts_lie_in_their_sub_swath(shared: Path) -> None:
    """The sub-swaths of IW reach from 30 to 36.5°, to 41.8°, and to 46°."""
    bounds = {"1": (29.5, 36.9), "2": (35.0, 42.2), "3": (40.5, 46.5)}
    plan_files = sorted((shared / "data/opera_rtc_s1_t137").rglob("T137-*-IW?_VV.tif"))
    assert plan_files
    for file in plan_files[:4]:
        grid = scan(file).geobox
        low, high = bounds[file.stem.split("IW")[1][0]]
        assert low < np.nanmean(incidence_at(137, "ascending", places_on(grid))) < high


def test_only_what_is_missing_is_filled_in() -> None:
    flight, estimated = completed(Flight("S1A", "ascending", 59, heading=-13.0), SOMEWHERE)
    assert (flight.heading, estimated) == (-13.0, ("incidence_angle",))
    flight, estimated = completed(Flight("S1A", "ascending", 59, incidence_angle=33.0), SOMEWHERE)
    assert (flight.incidence_angle, estimated) == (33.0, ("heading",))
    flight, estimated = completed(Flight("S1A", "ascending"), SOMEWHERE)
    assert math.isnan(flight.incidence_angle)
    assert estimated == ("heading",)


def test_a_sub_swath_tells_the_angle_where_the_track_is_unknown() -> None:
    flight, estimated = completed(Flight("S1A"), SOMEWHERE, "IW1,IW2")
    assert flight.incidence_angle == pytest.approx((33.4 + 39.1) / 2)
    assert estimated == ("incidence_angle",)


@pytest.mark.parametrize("platform", ["ERS-1", "S2A", "TSX"])
def test_other_satellites_stay_as_they_are(platform: str) -> None:
    flight = Flight(platform, "ascending", 59)
    assert completed(flight, SOMEWHERE, "IW1") == (flight, ())


def test_a_folder_gets_them_marked(tmp_path: Path, write_tif: Any, speckle: Any) -> None:
    name = "OPERA_L2_RTC-S1_T059-125000-IW2_20210809T173953Z_20250830T065219Z_S1A_30_v1.0_{}.tif"
    for band in ("VV", "VH"):
        write_tif(tmp_path / "in" / name.format(band), speckle())
    build_cube(tmp_path / "in", tmp_path / "c.zarr")
    sar = open_cube(tmp_path / "c.zarr")["sar"]
    assert sar["radiometry"].item() == "gamma0-rtc"
    assert sar["estimated"].item() == "orbit_direction,incidence_angle,heading"
    (point,) = places_on(GeoBox((20, 30), Affine(30, 0, 500_000, 0, -30, 5_000_000), "EPSG:32631"), 1)
    expected = incidence_at(59, "ascending", [point])[0]
    assert sar["incidence_angle"].item() == pytest.approx(expected, abs=0.01)
    assert sar["heading"].item() == pytest.approx(heading_at("ascending", point[1]), abs=0.01)


def test_offers_are_completed() -> None:
    grid = GeoBox((40, 40), Affine(30, 0, 500_000, 0, -30, 5_040_000), "EPSG:32631")
    offer = Offer(
        key="a", source="s", product="p", group="sar", time=np.datetime64("2021-08-09T17:39:53", "ns"),
        bands=("VV",), read=lambda grid: Images(np.ones((1, *grid.shape), np.float32)),
        flight=Flight("S1A", "ascending", 59),
    )  # fmt: skip
    done = complete_offer(offer, grid)
    assert done.estimated == ("incidence_angle", "heading")
    assert done.load(grid).estimated == "incidence_angle,heading"
    assert complete_offer(done, grid) == done
    burst = complete_offer(replace(offer, flight=Flight("S1A"), source_id="T059-125000-IW3_x"), grid)
    assert burst.flight.incidence_angle == pytest.approx(43.9)
    optical = replace(offer, group="optical")
    assert complete_offer(optical, grid) is optical
