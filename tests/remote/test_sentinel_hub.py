from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hub_server import SECRET, USER, Hub, Scene, served, tiff
from odc.geo.geobox import GeoBox

from terradelta.cube import create_cube, open_cube
from terradelta.cube.manifest import Manifest
from terradelta.errors import AccessError, SourceError, UnavailableError
from terradelta.sources import scan
from terradelta.sources.area import Area
from terradelta.sources.remote.collecting import collect
from terradelta.sources.remote.offers import Offer, Period, Query
from terradelta.sources.remote.sentinel_hub import DEPLOYMENTS, Deployment, Patience, SentinelHubSource
from terradelta.sources.remote.sentinel_hub.processing import unpacked
from terradelta.sources.remote.sentinel_hub.recipes import dem
from terradelta.sources.remote.sentinel_hub.recipes import optical as optical_recipe

pytest.importorskip("sentinelhub")

UTM = "EPSG:32631"
GRID = GeoBox((30, 40), Affine(10, 0, 500_000, 0, -10, 5_000_000), UTM)
QUICK = Patience(attempts=3, pause=0.01, timeout=5, longest_wait=2)
S1 = "S1A_IW_GRDH_1SDV_20200601T173000_20200601T173025_032827_03CD66_1A2B"
S2 = "S2A_MSIL1C_20200603T105031_N0209_R051_T31UFR_20200603T130000"


def day(first: str, last: str) -> Period:
    return Period(np.datetime64(first, "ns"), np.datetime64(last, "ns"))


def power(seed: int = 0, shape: tuple[int, ...] = GRID.shape) -> np.ndarray:
    return np.random.default_rng(seed).gamma(4, 0.02, shape).astype(np.float32) + np.float32(1e-6)


def numbers(seed: int = 0, shape: tuple[int, ...] = GRID.shape) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 9000, shape).astype(np.uint16)


def radar(name: str = S1, time: str = "2020-06-01T17:30:00Z", **changes: Any) -> Scene:
    direction = changes.pop("direction", "ascending")
    polarisation = changes.pop("polarisation", "DV")
    seed = changes.pop("seed", 1)
    grid = changes.setdefault("grid", GRID)
    changes.setdefault("bands", {"VV": power(seed, grid.shape), "VH": power(seed + 100, grid.shape)})
    properties = {
        "platform": f"sentinel-1{name[2].lower()}", "sar:instrument_mode": "IW", "s1:resolution": "HIGH",
        "sat:orbit_state": direction, "s1:polarization": polarisation,
    }  # fmt: skip
    return Scene("sentinel-1-grd", name, time, properties=properties, **changes)


def optical(name: str = S2, time: str = "2020-06-03T10:55:00Z", **changes: Any) -> Scene:
    names = [*(f"B{n:02d}" for n in range(1, 13)), "B8A"]
    seed, grid = changes.pop("seed", 1), changes.setdefault("grid", GRID)
    bands = {band: numbers(seed + index, grid.shape) for index, band in enumerate(names)}
    bands["CLM"] = np.random.default_rng(seed).integers(0, 2, grid.shape)
    changes.setdefault("bands", bands)
    properties = {"platform": f"sentinel-2{name[2].lower()}", "eo:cloud_cover": changes.pop("cloud", 10)}
    return Scene(changes.pop("collection", "sentinel-2-l1c"), name, time, properties=properties, **changes)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, no credentials, tokens over plain http."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in ("XDG_CONFIG_HOME", "SH_PROFILE", "SH_CLIENT_ID", "SH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    return folder


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("SH_CLIENT_ID", USER)
    monkeypatch.setenv("SH_CLIENT_SECRET", SECRET)
    with served(Hub()) as hub:
        yield hub


def source_at(hub: Hub, mask: Any = "CLM", **changes: Any) -> SentinelHubSource:
    place = Deployment("sentinel-hub", hub.url, f"{hub.url}/auth/token", mask)
    return SentinelHubSource(place, **{"patience": QUICK, **changes})


def query(*products: str, grid: GeoBox = GRID, **changes: Any) -> Query:
    changes.setdefault("period", day("2020-06-01", "2020-07-01"))
    return Query(area=Area(grid.geographic_extent.geom), grid=grid, products=products, **changes)


def only(offers: tuple[Offer, ...]) -> Offer:
    assert len(offers) == 1
    return offers[0]


# search


def test_passes_become_offers(hub: Hub) -> None:
    hub.scenes = [radar(), optical(), Scene("dem", "COPERNICUS_30", "", GRID, {"DEM": power()})]
    found = source_at(hub).search(query())
    one, two = found.offers
    assert one.key == "sentinel-hub/sentinel-1-grd/gamma0-rtc/S1A/030/20200601T173000"
    assert (one.group, one.bands, one.source_id) == ("sar", ("VV", "VH"), S1)
    assert (one.radiometry, one.flight.orbit_direction) == ("gamma0-rtc", "ascending")
    assert (one.flight.platform, one.flight.relative_orbit) == ("S1A", 30)
    assert one.time == np.datetime64("2020-06-01T17:30:00")
    assert one.nbytes == 3 * 4 * 30 * 40
    assert one.facts["backscatter"] == "GAMMA0_TERRAIN"
    assert two.key == "sentinel-hub/sentinel-2-l1c/S2A/051/20200603T105031"
    assert (len(two.bands), two.offset_applied, two.facts["cloud_mask"]) == (
        13,
        False,
        "CLM of sentinel-2-l1c",
    )
    assert two.time == np.datetime64("2020-06-03T10:50:31")
    layer = only(found.layers)  # type: ignore[arg-type]
    assert (layer.key, layer.name) == ("sentinel-hub/dem/COPERNICUS_30", "dem")
    assert hub.count("process") == 0


def test_months_are_asked_one_by_one_and_all_pages_come(hub: Hub) -> None:
    hub.page = 2
    times = [f"2020-{month:02d}-{day:02d}" for month in (5, 7) for day in (1, 7, 13, 19, 25)]
    hub.scenes = [radar(S1.replace("20200601", time.replace("-", "")), f"{time}T17:30:00Z") for time in times]
    found = source_at(hub).search(query("sentinel-1-grd", period=day("2020-05-03", "2020-07-26")))
    assert [str(one.time)[:10] for one in found.offers] == times[1:]
    assert found.notes == ("sentinel-hub: no sentinel-1-grd of this place in 2020-06",)
    asked = sorted({body["datetime"] for body in hub.bodies("search")})
    assert asked == [
        "2020-05-02T23:59:00Z/2020-06-01T00:00:00Z",
        "2020-06-01T00:00:00Z/2020-07-01T00:00:00Z",
        "2020-07-01T00:00:00Z/2020-07-26T00:01:00Z",
    ]
    again = source_at(hub).search(query("sentinel-1-grd", period=day("2020-05-03", "2020-07-26")))
    assert [one.key for one in again.offers] == [one.key for one in found.offers]


def test_only_what_is_wanted(hub: Hub) -> None:
    down = S1.replace("173000", "054000").replace("032827", "032820")
    hub.scenes = [
        radar(),
        radar(down, "2020-06-01T05:40:00Z", direction="descending"),
        radar(S1.replace("1SDV", "1SSV"), "2020-06-02T17:30:00Z", polarisation="SV"),
        optical(cloud=80),
    ]
    source = source_at(hub)

    def names(**changes: Any) -> list[str]:
        return [one.source_id for one in source.search(query("sentinel-1-grd", **changes)).offers]

    assert names() == [down, S1]
    assert names(direction="ascending") == [S1]
    assert names(orbits=(30,)) == [S1]
    assert len(names(polarisations=("VV",))) == 3
    assert names(polarisations=("HH",)) == []
    assert not source.search(query("sentinel-2-l1c", max_cloud=79)).offers
    assert source.search(query("sentinel-2-l1c", max_cloud=80)).offers
    with pytest.raises(SourceError, match="has no product 'landsat'; it has sentinel-1-grd"):
        source.search(query("landsat"))
    with pytest.raises(SourceError, match="no band B10"):
        hub.scenes = [optical(collection="sentinel-2-l2a")]
        source.search(query("sentinel-2-l2a", bands=("B02", "B10")))
    with pytest.raises(SourceError, match="'hub' is no deployment"):
        SentinelHubSource("hub")


def test_frames_of_a_pass_are_one_offer(hub: Hub) -> None:
    upper, lower = GRID[:18], GRID[14:]
    second = S1.replace("T173000", "T173025").replace("1A2B", "9F9F")
    hub.scenes = [
        radar(grid=upper, seed=1),
        radar(second, "2020-06-01T17:30:25Z", grid=lower, seed=2),
        radar(S1.replace("S1A", "S1B"), "2020-06-01T18:20:00Z", seed=3),
    ]
    first, other = source_at(hub).search(query("sentinel-1-grd")).offers
    assert (first.source_id, first.facts["frames"]) == (f"{S1}+1", "2")
    assert other.source_id.startswith("S1B")
    values = first.read(GRID).values
    np.testing.assert_array_equal(values[:, 14:], np.stack(list(hub.scenes[1].bands.values())))
    np.testing.assert_array_equal(values[:, :14], np.stack(list(hub.scenes[0].bands.values()))[:, :14])


def test_tiles_of_a_datatake_are_one_offer_and_older_processings_count_once(hub: Hub) -> None:
    new = S2.replace("N0209", "N0500").replace("20200603T130000", "20230601T080000")
    east = S2.replace("T31UFR", "T31UGR")
    hub.scenes = [optical(), optical(new, seed=5), optical(east, "2020-06-03T10:55:14Z", grid=GRID[:, 20:])]
    offer = only(source_at(hub).search(query("sentinel-2-l1c")).offers)
    assert offer.source_id == f"{new}+1"
    assert offer.facts["replaced"].startswith("1 older")
    assert offer.offset_applied and offer.facts["baseline"] == "0500"


def test_satellites_in_tandem_are_never_mixed(hub: Hub) -> None:
    hub.scenes = [optical(), optical(S2.replace("S2A", "S2C"), "2020-06-03T10:55:06Z")]
    found = source_at(hub).search(query("sentinel-2-l1c"))
    assert only(found.offers).source_id == S2
    assert "S2C_MSIL1C" in found.notes[0] and "would mix them" in found.notes[0]


def test_estimates_grow_with_the_blocks_that_are_touched(hub: Hub) -> None:
    wide = GeoBox((1024, 3000), Affine(10, 0, 500_000, 0, -10, 5_000_000), UTM)
    hub.scenes = [radar(bands={}), optical(bands={})]
    one, two = source_at(hub).search(query("sentinel-1-grd", "sentinel-2-l1c", grid=wide)).offers
    assert one.nbytes == 3 * 4 * 1024 * 1024
    assert float(one.facts["processing_units"]) == pytest.approx(4 * 2 / 3 * 2 * 2.5, rel=1e-2)
    assert two.nbytes == 15 * 2 * 1024 * 1024
    assert float(two.facts["processing_units"]) == pytest.approx(4 * 14 / 3, rel=1e-2)


def test_a_pass_around_midnight_is_whole_whatever_the_period(hub: Hub) -> None:
    late = S1.replace("T173000_20200601T173025", "T235950_20200602T000015").replace("20200601", "20200531")
    after = S1.replace("T173000_20200601T173025", "T000015_20200601T000040")
    hub.scenes = [radar(late, "2020-05-31T23:59:50Z"), radar(after, "2020-06-01T00:00:15Z")]
    keys = [
        [one.key for one in source_at(hub).search(query("sentinel-1-grd", period=period)).offers]
        for period in (day("2020-05-01", "2020-06-01"), day("2020-05-01", "2020-07-01"))
    ]
    assert keys[0] == keys[1] and len(keys[0]) == 1
    assert not source_at(hub).search(query("sentinel-1-grd")).offers


# pixels


def write(path: Path, values: np.ndarray, grid: GeoBox, names: tuple[str, ...], **options: Any) -> None:
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=grid.shape[0], width=grid.shape[1],
        dtype=values.dtype, crs=str(grid.crs), transform=grid.affine, **options,
    ) as file:  # fmt: skip
        file.write(values)
        for index, name in enumerate(names, start=1):
            file.set_band_description(index, name)


def test_radar_equals_the_import_of_the_same_pixels(hub: Hub, tmp_path: Path) -> None:
    hub.scenes = [scene := radar()]
    scene.valid = np.ones(GRID.shape)
    scene.valid[:5, :7] = 0
    offer = only(source_at(hub).search(query("sentinel-1-grd")).offers)
    stack = np.stack([np.where(scene.valid, scene.bands[band], 0) for band in offer.bands])
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / f"{S1}_gamma0.tif", stack.astype(np.float32), GRID, offer.bands)
    imported = only(scan(folder, geobox=GRID).sar).load(GRID)  # type: ignore[arg-type]
    ours = offer.load(GRID)
    assert np.array_equal(ours.backscatter.compute(), imported.backscatter.compute(), equal_nan=True)
    assert np.isnan(ours.backscatter.compute()).sum() == 2 * 35
    for name in ("time", "bands", "relative_orbit", "platform"):
        assert getattr(ours, name) == getattr(imported, name)
    assert (ours.radiometry, ours.source_id) == ("gamma0-rtc", S1)


@pytest.mark.parametrize("raw_offset", [0, 1000])
def test_optical_equals_the_import_of_the_same_pixels(hub: Hub, tmp_path: Path, raw_offset: int) -> None:
    name, time = S2, "2020-06-03T10:55:00Z"
    if raw_offset:
        name, time = S2.replace("N0209", "N0400").replace("20200603", "20220603"), "2022-06-03T10:55:00Z"
    hub.scenes = [scene := optical(name, time, offset=raw_offset)]
    scene.bands = {key: values + (raw_offset if key != "CLM" else 0) for key, values in scene.bands.items()}
    period = day(f"{time[:4]}-06-01", f"{time[:4]}-07-01")
    offer = only(source_at(hub).search(query("sentinel-2-l1c", period=period)).offers)
    folder = tmp_path / "folder"
    folder.mkdir()
    stack = np.stack([scene.bands[band] for band in offer.bands]).astype(np.uint16)
    write(folder / f"{name}.tif", stack, GRID, offer.bands)
    imported = only(scan(folder, geobox=GRID).optical).load(GRID)  # type: ignore[arg-type]
    ours = offer.load(GRID)
    assert ours.bands == imported.bands or set(ours.bands) == set(imported.bands)
    order = [imported.bands.index(band) for band in ours.bands]
    np.testing.assert_array_equal(ours.reflectance.compute(), imported.reflectance.compute()[order])
    np.testing.assert_array_equal(ours.clear.compute(), scene.bands["CLM"] == 0)
    assert (ours.time, ours.platform, ours.offset_applied) == (imported.time, "S2A", bool(raw_offset))
    assert imported.offset_applied == bool(raw_offset)


def test_zero_reflectance_is_data_and_missing_is_not(hub: Hub) -> None:
    hub.scenes = [scene := optical()]
    scene.bands["B02"][:] = 0
    scene.valid = np.ones(GRID.shape)
    scene.valid[3] = 0
    offer = only(source_at(hub).search(query("sentinel-2-l1c", bands=("B02", "B04"))).offers)
    values, clear = offer.read(GRID)
    assert (values[0, :3] == 0).all() and np.isnan(values[:, 3]).all()
    assert clear is not None and not clear[3].any() and clear[:3].any()


def test_blocks_joined_are_the_whole(hub: Hub) -> None:
    hub.scenes = [radar(), optical()]
    for offer in source_at(hub).search(query("sentinel-1-grd", "sentinel-2-l1c")).offers:
        whole = offer.read(GRID)
        rows, columns = (slice(0, 16), slice(16, 30)), (slice(0, 16), slice(16, 32), slice(32, 40))
        parts = [[offer.read(GRID[row, column]) for column in columns] for row in rows]
        joined = np.block([[part.values for part in row] for row in parts])
        np.testing.assert_array_equal(joined, whole.values)


def test_requests_say_what_was_promised(hub: Hub) -> None:
    hub.scenes = [radar(), optical()]
    for offer in source_at(hub).search(query("sentinel-1-grd", "sentinel-2-l1c")).offers:
        offer.read(GRID[8:16, 16:32])
    sar, msi = hub.bodies("process")
    assert sar["input"]["bounds"] == {
        "bbox": [500_160, 4_999_840, 500_320, 4_999_920],
        "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32631"},
    }
    assert (sar["output"]["width"], sar["output"]["height"]) == (16, 8)
    asked = sar["input"]["data"][0]
    assert asked["dataFilter"] == {
        "timeRange": {"from": "2020-06-01T17:29:55Z", "to": "2020-06-01T17:30:05Z"},
        "acquisitionMode": "IW", "resolution": "HIGH", "polarization": "DV", "orbitDirection": "ASCENDING",
        "mosaickingOrder": "mostRecent",
    }  # fmt: skip
    assert asked["processing"] == {
        "orthorectify": True, "demInstance": "COPERNICUS_30", "backCoeff": "GAMMA0_TERRAIN",
        "upsampling": "BILINEAR",
    }  # fmt: skip
    assert 'units: ["LINEAR_POWER", "LINEAR_POWER", "DN"]' in sar["evalscript"]
    assert msi["input"]["data"][0]["processing"]["harmonizeValues"] is True
    assert 'sampleType: "UINT16"' in msi["evalscript"]


def test_radiometries_have_names_and_keys_of_their_own(hub: Hub) -> None:
    hub.scenes = [radar()]
    offers = {}
    for name in ("", "-gamma0-ellipsoid", "-sigma0-ellipsoid"):
        offers[name] = only(source_at(hub).search(query(f"sentinel-1-grd{name}")).offers)
        offers[name].read(GRID)
    told = [offer.radiometry for offer in offers.values()]
    assert told == ["gamma0-rtc", "gamma0-ellipsoid", "sigma0-ellipsoid"]
    assert len({offer.key for offer in offers.values()}) == 3
    asked = [body["input"]["data"][0]["processing"]["backCoeff"] for body in hub.bodies("process")]
    assert asked == ["GAMMA0_TERRAIN", "GAMMA0_ELLIPSOID", "SIGMA0_ELLIPSOID"]


def test_clouds_from_the_scene_classification_where_there_is_no_other_mask(hub: Hub) -> None:
    classes = np.random.default_rng(7).integers(0, 12, GRID.shape)
    surface = S2.replace("MSIL1C", "MSIL2A")
    hub.scenes = [optical()]
    l1c = only(source_at(hub, "SCL").search(query("sentinel-2-l1c")).offers)
    clear = l1c.read(GRID).clear
    assert clear is not None and not clear.any()
    hub.scenes.append(optical(surface, collection="sentinel-2-l2a"))
    hub.scenes[1].bands["SCL"] = classes  # type: ignore[index]
    values, clear = l1c.read(GRID)
    np.testing.assert_array_equal(clear, np.isin(classes, (4, 5, 6, 7)))
    np.testing.assert_array_equal(values[1], (hub.scenes[0].bands["B02"] * 1e-4).astype(np.float32))
    assert l1c.facts["cloud_mask"] == "SCL of sentinel-2-l2a"
    l2a = only(source_at(hub).search(query("sentinel-2-l2a")).offers)
    assert len(l2a.bands) == 12 and "B10" not in l2a.bands
    np.testing.assert_array_equal(l2a.read(GRID).clear, clear)
    assert DEPLOYMENTS["sentinel-hub-cdse"].cloud_mask == "SCL"


def test_empty_passes_and_blocks_far_from_the_footprint(hub: Hub) -> None:
    hub.scenes = [radar(valid=np.zeros(GRID.shape))]
    offer = only(source_at(hub).search(query("sentinel-1-grd")).offers)
    assert np.isnan(offer.read(GRID).values).all()
    asked = hub.count("process")
    far = GeoBox((4, 5), Affine(10, 0, 600_000, 0, -10, 5_000_000), UTM)
    assert np.isnan(offer.read(far).values).all()
    assert hub.count("process") == asked


def test_elevation(hub: Hub) -> None:
    heights = power() * 1000 - 20
    hub.scenes = [Scene("dem", "COPERNICUS_30", "", GRID, {"DEM": heights})]
    layer = source_at(hub).search(query("dem")).layers[0]
    np.testing.assert_array_equal(layer.read(GRID[3:9, 2:12]), heights[3:9, 2:12])
    assert not layer.categorical
    hub.scenes[0].valid = np.zeros(GRID.shape)
    assert np.isnan(layer.read(GRID)).all()


@pytest.mark.parametrize(
    ("grid", "why"),
    [
        (GeoBox((4, 4), Affine(10, 0, 0, 0, 10, 0), UTM), "north up"),
        (GeoBox((4, 4), Affine(10, 1, 0, 1, -10, 0), UTM), "north up"),
        (GeoBox((4, 3000), Affine(10, 0, 0, 0, -10, 0), UTM), "at most 2500"),
        (GeoBox((4, 4), Affine(1, 0, 0, 0, -1, 0), "+proj=laea +lat_0=3.14"), "EPSG code"),
    ],
)
def test_grids_that_the_service_cannot_give(hub: Hub, grid: GeoBox, why: str) -> None:
    layer = source_at(hub).search(query("dem")).layers[0]
    with pytest.raises(SourceError, match=why):
        layer.read(grid)


def test_degrees_have_longitude_first(hub: Hub) -> None:
    grid = GeoBox((6, 5), Affine(0.001, 0, 3.0, 0, -0.001, 45.1), "EPSG:4326")
    heights = power(shape=grid.shape)
    hub.scenes = [Scene("dem", "COPERNICUS_30", "", grid, {"DEM": heights})]
    np.testing.assert_array_equal(source_at(hub).search(query("dem")).layers[0].read(grid), heights)
    assert hub.bodies("process")[0]["input"]["bounds"]["properties"]["crs"].endswith("OGC/1.3/CRS84")


def test_real_radar_and_reflectance(hub: Hub, shared: Path) -> None:
    xarray = pytest.importorskip("xarray")
    folder = shared / "data/worldcereal_s1_s2_agera5/00002806639B424A"
    with xarray.open_dataset(next(folder.glob("S1_GRD*.nc"))) as data:
        step = data.isel(timestamp=3)
        decibel, when = (
            np.stack([step[band].values for band in ("VV", "VH")]),
            str(step.timestamp.values)[:19],
        )
        x, y = data.x.values, data.y.values
    size = float(x[1] - x[0])
    grid = GeoBox(decibel.shape[1:], Affine(size, 0, x[0] - size / 2, 0, -size, max(y) + size / 2), UTM)
    linear = (10 ** (decibel / 10)).astype(np.float32)
    stamp = when.replace("-", "").replace(":", "")
    name = S1.replace("20200601T173000", stamp)
    hub.scenes = [radar(name, f"{when}Z", grid=grid, bands=dict(zip(("VV", "VH"), linear, strict=True)))]
    month = day(when[:7], str(np.datetime64(when[:7]) + 1))
    offer = only(source_at(hub).search(query("sentinel-1-grd", grid=grid, period=month)).offers)
    np.testing.assert_array_equal(offer.read(grid).values, linear)


def test_a_cube_is_filled_and_empty_passes_are_not_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    empty = S1.replace("20200601", "20200613")
    elevation = Scene("dem", "COPERNICUS_30", "", GRID, {"DEM": power() * 1000})
    nothing = radar(empty, "2020-06-13T17:30:00Z", valid=np.zeros(GRID.shape))
    hub.scenes = [scene := radar(), nothing, optical(), elevation]
    cube = tmp_path / "place.zarr"
    create_cube(cube, GRID)
    found = source_at(hub).search(query())
    result = collect(cube, found.offers, found.layers, Manifest(cube))
    assert (result.outcomes["added"], result.outcomes["empty"], result.layers) == (2, 1, ["dem"])
    tree = open_cube(cube)
    np.testing.assert_array_equal(tree["sar"].backscatter.values[0], np.stack(list(scene.bands.values())))
    assert tree["sar"].radiometry.values.tolist() == ["gamma0-rtc"]
    asked = hub.count("process")
    found = source_at(hub).search(query())
    assert collect(cube, found.offers, found.layers, Manifest(cube)).outcomes["there"] == 3
    assert hub.count("process") == asked


# credentials


def test_missing_credentials_name_the_cure_and_nothing_is_written(home: Path) -> None:
    with (
        served(Hub()) as hub,
        pytest.raises(AccessError, match="set SH_CLIENT_ID and SH_CLIENT_SECRET, or a"),
    ):
        source_at(hub).search(query("sentinel-1-grd"))
    assert hub.asked == [] and list(home.iterdir()) == []


def test_profile_of_the_client_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = home / ".config/sentinelhub/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        f'[mine]\nsh_client_id = "{USER}"\nsh_client_secret = "{SECRET}"\nsh_base_url = "http://no"\n'
    )
    monkeypatch.setenv("SH_PROFILE", "mine")
    text = file.read_text()
    with served(Hub(scenes=[radar()])) as hub:
        assert source_at(hub).search(query("sentinel-1-grd")).offers
        monkeypatch.setenv("SH_PROFILE", "yours")
        with pytest.raises(AccessError, match=r"the profile 'yours' in .*config\.toml cannot be read"):
            source_at(hub).search(query("sentinel-1-grd"))
    assert file.read_text() == text


def test_wrong_credentials(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SH_CLIENT_SECRET", "wrong-secret")
    with pytest.raises(AccessError, match="refuses the credentials") as caught:
        source_at(hub).search(query("sentinel-1-grd"))
    assert "wrong-secret" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert hub.count("search") == 0


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_without_words(hub: Hub, status: int) -> None:
    hub.fail("token", {"status": status, "text": "<html>"})
    with pytest.raises(AccessError, match="refuses the credentials"):
        source_at(hub).search(query("sentinel-1-grd"))


def test_no_right_to_a_product(hub: Hub) -> None:
    hub.scenes = [Scene("dem", "COPERNICUS_30", "", GRID, {"DEM": power()})]
    layer = source_at(hub).search(query("dem")).layers[0]
    hub.fail("process", {"status": 403, "message": "not for you"})
    with pytest.raises(AccessError, match=r"403: .*not for you.* or its processing units are used up"):
        layer.read(GRID)
    hub.fail("process", {"status": 400, "message": "bad\nrequest"})
    with pytest.raises(SourceError, match=r"refuses an image \(400") as caught:
        layer.read(GRID)
    assert type(caught.value) is SourceError and "\n" not in str(caught.value)


def test_tokens_that_expire_or_are_withdrawn_are_renewed(hub: Hub) -> None:
    hub.scenes, hub.lifetime = [radar()], 1
    offer = only(source_at(hub).search(query("sentinel-1-grd")).offers)
    expected = offer.read(GRID).values
    asked = hub.count("token")
    hub.lifetime = 3600
    offer.read(GRID)
    assert hub.count("token") == asked + 1
    offer.read(GRID)
    assert hub.count("token") == asked + 1
    hub.tokens.clear()
    np.testing.assert_array_equal(offer.read(GRID).values, expected)
    assert hub.count("token") == asked + 2


def test_token_that_is_never_taken(hub: Hub) -> None:
    hub.scenes = [radar()]
    offer = only(source_at(hub).search(query("sentinel-1-grd")).offers)
    hub.fail("process", *[{"status": 401}] * 2)
    with pytest.raises(AccessError, match=r"refuses an image \(401"):
        offer.read(GRID)


def test_offers_can_be_sent_elsewhere_without_the_secret(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.scenes = [radar(), optical(), Scene("dem", "COPERNICUS_30", "", GRID, {"DEM": power()})]
    found = source_at(hub).search(query())
    for one in (*found.offers, *found.layers):
        data = pickle.dumps(one)
        assert SECRET.encode() not in data and USER.encode() not in data and b"token-" not in data
        assert SECRET not in repr(one) + str(dict(one.facts)) + one.key
    script = (
        "import pickle, sys, numpy as np\n"
        "read, grid = pickle.load(sys.stdin.buffer)\n"
        "sys.stdout.buffer.write(pickle.dumps(np.asarray(read(grid).values)))"
    )
    sent = pickle.dumps((found.offers[0].read, GRID))
    done = subprocess.run([sys.executable, "-c", script], input=sent, capture_output=True, check=True)
    np.testing.assert_array_equal(pickle.loads(done.stdout), found.offers[0].read(GRID).values)
    monkeypatch.delenv("SH_CLIENT_SECRET")
    with pytest.raises(AccessError, match="needs credentials"):
        found.offers[0].read(GRID)


# faults


@pytest.fixture
def offer(hub: Hub) -> Offer:
    hub.scenes = [radar()]
    return only(source_at(hub).search(query("sentinel-1-grd")).offers)


def test_too_many_requests_are_put_off(hub: Hub, offer: Offer) -> None:
    hub.fail("process", *[{"status": 429, "headers": {"Retry-After": "300"}}] * 2)
    begun = time.monotonic()
    assert np.isfinite(offer.read(GRID).values).all()
    assert time.monotonic() - begun >= 0.6
    assert hub.count("process") == 3


def test_a_wait_of_hours_is_not_waited_for(hub: Hub, offer: Offer) -> None:
    hub.fail("process", {"status": 429, "headers": {"Retry-After": "7200000"}})
    with pytest.raises(UnavailableError, match=r"asked too often \(the server asks to wait 7200 s"):
        offer.read(GRID)


def test_a_short_failure_is_tried_again_a_long_one_is_told(hub: Hub, offer: Offer) -> None:
    hub.fail("process", {"status": 503}, {"status": 500})
    assert np.isfinite(offer.read(GRID).values).all()
    hub.fail("process", *[{"status": 502}] * 3)
    with pytest.raises(UnavailableError, match=r"does not give an image \(status 502"):
        offer.read(GRID)
    hub.fail("search", *[{"status": 500}] * 3)
    with pytest.raises(UnavailableError, match="does not give the catalogue"):
        source_at(hub).search(query("sentinel-1-grd"))
    hub.fail("search", {"status": 200, "text": "<html>"})
    with pytest.raises(UnavailableError, match="does not give the catalogue"):
        source_at(hub).search(query("sentinel-1-grd"))


def test_no_token_for_the_moment(hub: Hub) -> None:
    hub.fail("token", *[{"status": 500}] * 3)
    with pytest.raises(UnavailableError, match=r"gives no token \(status 500"):
        source_at(hub).search(query("sentinel-1-grd"))
    hub.fail("token", {"status": 200, "text": "hello"})
    with pytest.raises(UnavailableError, match="gives no token"):
        source_at(hub).search(query("sentinel-1-grd"))


def test_a_slow_server_and_one_that_is_gone(hub: Hub) -> None:
    hub.scenes = [radar()]
    quick = dataclasses.replace(QUICK, timeout=0.2, attempts=2)
    offer = only(source_at(hub, patience=quick).search(query("sentinel-1-grd")).offers)
    hub.fail("process", *[{"sleep": 0.6}] * 2)
    with pytest.raises(UnavailableError, match="ReadTimeout"):
        offer.read(GRID)
    gone = dataclasses.replace(
        offer.read, deployment=Deployment("gone", "http://127.0.0.1:9", "http://127.0.0.1:9")
    )  # type: ignore[type-var]
    with pytest.raises(UnavailableError, match="gone gives no token"):
        gone(GRID)


def test_a_connection_that_breaks_off(hub: Hub, offer: Offer) -> None:
    hub.fail("process", *[{"keep": 0.5, "hang_up": True}] * 2)
    assert np.isfinite(offer.read(GRID).values).all()
    hub.fail("process", *[{"keep": 0.5, "hang_up": True}] * 3)
    with pytest.raises(UnavailableError):
        offer.read(GRID)


def test_a_part_of_an_image_is_never_taken_for_the_whole(hub: Hub, offer: Offer) -> None:
    hub.fail("process", {"keep": 0.9})
    with pytest.raises(UnavailableError, match="cannot be read"):
        offer.read(GRID)


def test_no_cut_of_an_image_is_taken_for_the_whole() -> None:
    recipe, planes = dem("COPERNICUS_30"), np.stack([power(), np.ones(GRID.shape)])
    whole = tiff(planes, "float32", GRID)
    np.testing.assert_array_equal(unpacked(whole, recipe, GRID, "x"), planes.astype(np.float32))
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        with pytest.raises((UnavailableError, SourceError)):
            unpacked(whole[:length], recipe, GRID, "x")


def test_other_images_than_asked_for_are_refused() -> None:
    recipe, planes = dem("COPERNICUS_30"), np.stack([power(), np.ones(GRID.shape)])
    for other in (tiff(planes[:1], "float32", GRID), tiff(planes, "uint16", GRID)):
        with pytest.raises(SourceError, match="came instead of"):
            unpacked(other, recipe, GRID, "x")
    with pytest.raises(SourceError, match="not the grid that was asked for"):
        unpacked(tiff(planes, "float32", GRID.translate_pix(0.5, 0)), recipe, GRID, "x")


def test_an_entry_without_a_time_is_told(hub: Hub) -> None:
    hub.scenes = [scene := radar()]
    scene.entry = lambda: {"id": "x", "properties": {}, "geometry": shapely.geometry.mapping(scene.footprint)}  # type: ignore[method-assign]
    with pytest.raises(UnavailableError, match="an entry of the catalogue lacks 'datetime'"):
        source_at(hub).search(query("sentinel-1-grd"))


def test_many_threads_share_one_session(hub: Hub, offer: Offer) -> None:
    asked = hub.count("token")
    hub.fail("process", {"status": 429, "headers": {"Retry-After": "100"}})
    blocks = [GRID[row : row + 10, column : column + 10] for row in (0, 10, 20) for column in (0, 10, 20, 30)]
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(offer.read, blocks))
    whole = offer.read(GRID).values
    np.testing.assert_array_equal(parts[5].values, whole[:, 10:20, 10:20])
    assert hub.count("token") == asked


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=lambda one: one.name)
def test_evalscripts_are_programs_that_hand_over_all_planes(deployment: Deployment) -> None:
    recipe = optical_recipe("sentinel-2-l1c", ("B02", "B8A"), deployment)
    samples: Any = {"B02": 5, "B8A": 7, "dataMask": 1, "CLM": 9}
    absent: Any = dict.fromkeys(samples, 0)
    if recipe.mask_collection:
        samples = {"image": [samples], "mask": [{"SCL": 9}]}
        absent = {"image": [], "mask": []}
    script = recipe.evalscript() + (
        f"console.log(JSON.stringify([setup().output.bands, evaluatePixel({json.dumps(samples)}),"
        f" evaluatePixel({json.dumps(absent)})]))"
    )
    done = subprocess.run(["node", "-e", script], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == [4, [5, 7, 1, 9], [0, 0, 0, 0]]
