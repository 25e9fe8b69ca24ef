from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from stac_queries import GRID, HASTY, asked, planetary
from stac_server import Holdings, StacServer, opera_series, outline, real_item, rtc_item, s2_item, synthetic

from terradelta.errors import AccessError, SourceError, UnavailableError
from terradelta.sources.area import Area
from terradelta.sources.remote.offers import Period
from terradelta.sources.remote.retrying import Patience, retried
from terradelta.sources.remote.stac import StacSource

RADAR = ("sentinel-1-rtc",)
OPTICAL = ("sentinel-2-l2a",)


@pytest.fixture(scope="module")
def held() -> Holdings:
    return synthetic(GRID, dates=3)


@pytest.fixture
def server(held: Holdings) -> Iterator[StacServer]:
    with StacServer(held, page_size=2) as running:
        yield running


def moment(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


def test_all_pages_of_all_products(server: StacServer, tmp_path: Path):
    found = planetary(server, tmp_path).search(asked())
    assert [offer.group for offer in found.offers] == ["sar", "optical"] * 3
    assert [layer.name for layer in found.layers] == ["dem", "land_cover"]
    assert found.notes == ()
    assert len([path for path in server.paths if path.endswith("/search")]) == 3 + 2 + 1 + 1
    assert not [path for path in server.paths if path.startswith("/files")]
    first = found.offers[0]
    assert first.time == moment("2020-06-01T17:32:05")
    assert first.key == "planetary-computer/sentinel-1-rtc/S1A/137/030643a"
    assert first.source_id.endswith("_030643_0382F7_rtc +1")
    assert (first.bands, first.radiometry, first.estimated) == (("VV", "VH"), "gamma0-rtc", ())
    assert first.nbytes == 2 * 4 * 120 * 160
    assert found.offers[1].key == "planetary-computer/sentinel-2-l2a/S2A/51/20200602T105331"
    assert found.offers[1].facts["Sentinel-2 offset"] == "+0 (processing baseline 02.12)"


def test_server_filters_and_so_do_we(server: StacServer, tmp_path: Path):
    source = planetary(server, tmp_path)
    query = asked(products=RADAR + OPTICAL, max_cloud=55.0, orbits=(137,), direction="ascending")
    found = source.search(query)
    assert [offer.group for offer in found.offers] == ["sar", "optical", "sar", "optical", "sar"]
    radar, optical = (next(s for s in server.searches if s["collections"] == [n]) for n in RADAR + OPTICAL)
    assert radar["query"] == {"sat:relative_orbit": {"in": [137]}, "sat:orbit_state": {"eq": "ascending"}}
    assert optical["query"] == {"eo:cloud_cover": {"lte": 55.0}}
    assert radar["datetime"] == "2019-12-31T23:55:00Z/2021-01-01T00:05:00Z"
    assert not source.search(replace(query, products=RADAR, orbits=(8,))).offers
    server.query = False
    assert [o.key for o in source.search(query).offers] == [o.key for o in found.offers]
    assert not source.search(replace(query, products=RADAR, direction="descending")).offers


def test_period_is_half_open_and_bands_must_be_there(server: StacServer, tmp_path: Path):
    source, query = planetary(server, tmp_path), asked(products=RADAR)
    ends = Period(moment("2020-06-01T17:32:30"), moment("2020-06-13T17:32:05"))
    assert [str(offer.time)[8:19] for offer in source.search(replace(query, period=ends)).offers] == [
        "07T17:32:05"
    ]
    late = Period(moment("2020-06-01T17:32:05"), moment("2020-06-01T17:32:30"))
    (whole,) = source.search(replace(query, period=late)).offers
    assert whole.source_id.endswith("+1")
    crossed = source.search(replace(query, polarisations=("VV", "HH")))
    assert (crossed.offers, crossed.notes) == (
        (), ("planetary-computer: 6 items left out, sentinel-1-rtc: no HH",),
    )  # fmt: skip
    assert source.search(replace(query, products=OPTICAL, bands=("B09", "B8A", "B08"))).offers[0].bands == (
        "B08",
        "B8A",
        "B09",
    )


def test_outline_counts_not_its_box(server: StacServer, tmp_path: Path):
    west, south, east, north = GRID.geographic_extent.geom.bounds
    wide = [(west - 1, south - 1), (east + 1, south - 1), (east + 1, north + 1)]
    corner = shapely.Polygon(
        [*wide, (east + 0.9, north + 1), (east + 0.9, south - 0.9), (west - 1, south - 0.9)]
    )
    assert corner.envelope.contains(shapely.box(west, south, east, north))
    found = planetary(server, tmp_path).search(asked(area=Area(corner)))
    assert (found.offers, found.layers) == ((), ())
    assert server.searches


def test_key_stays_when_a_slice_or_a_processing_comes_later(held: Holdings, tmp_path: Path):
    early = Holdings([item for item in held.items if not item["properties"].get("datetime", "") or (
        not item["id"].startswith("S1A_IW_GRDH_1SDV_20200601T173205"))], held.files)  # fmt: skip
    keys = []
    for holdings in (early, held):
        with StacServer(holdings) as server:
            keys.append([offer.key for offer in planetary(server, tmp_path).search(asked()).offers])
    assert keys[0] == keys[1]


def test_newest_processing_wins_and_halves_are_joined(tmp_path: Path):
    held, values = Holdings(), np.full(GRID.shape, 2000, np.uint16)
    for baseline in ("02.12", "05.00"):
        held.add(s2_item("2020-06-02T10:53:31Z", baseline=baseline), GRID, {"B04": values})
    for half in (GRID[:60], GRID[60:]):
        held.add(s2_item("2020-06-07T10:53:31Z"), half, {"B04": values[:60]})
        held.items[-1]["id"] += str(len(held.items))
    held.add(s2_item("2020-06-07T10:53:31Z", tile="31UES"), GRID, {"B04": values})
    with StacServer(held) as server:
        found = planetary(server, tmp_path).search(asked(products=OPTICAL, bands=("B04",)))
        renewed, joined = found.offers
        assert renewed.source_id == "S2A_MSIL2A_20200602T105331_N0500_R051_T31UDS_20200602T050000.SAFE"
        assert renewed.facts["older processings left out"].endswith("T31UDS_20200602T021200")
        assert renewed.facts["Sentinel-2 offset"] == "-0.1 (processing baseline 05.00)"
        assert (renewed.offset_applied, joined.offset_applied) == (True, False)
        assert joined.source_id.endswith("+2")
        assert np.allclose(renewed.read(GRID).values, 0.1)
        assert np.allclose(joined.read(GRID).values, 0.2)


def test_land_cover_of_the_year_that_fits(server: StacServer, tmp_path: Path):
    source = planetary(server, tmp_path)
    query = asked(products=("esa-worldcover",))
    late = ("planetary-computer: esa-worldcover begins in 2020, after the period",)
    years = {
        ("2020-01-01", "2021-01-01"): ("2020", ()),
        ("2020-01-01", "2024-01-01"): ("2021", ()),
        ("2018-01-01", "2019-01-01"): ("2020", late),
    }  # fmt: skip
    for (start, end), (year, notes) in years.items():
        found = source.search(replace(query, period=Period(moment(start), moment(end))))
        assert found.layers[0].facts["year"] == year
        assert found.notes == notes
    none = source.search(replace(query, products=("io-lulc-annual-v02",)))
    assert none.notes == ("planetary-computer: io-lulc-annual-v02 has nothing there",)


def test_area_across_the_antimeridian(tmp_path: Path):
    held = Holdings()
    for box in ((179.2, -17, 179.9, -16), (-179.9, -17, -179.2, -16)):
        held.items.append(rtc_item(f"2020-06-01T17:32:{len(held.items):02d}Z"))
        held.items[-1] |= {"bbox": list(box), "geometry": shapely.geometry.mapping(shapely.box(*box))}
        held.items[-1]["assets"] = {name: {"href": "files:x"} for name in ("vv", "vh")}
    cut = deepcopy(held.items[0]) | {"id": "cut", "bbox": [179.5, -17, -179.5, -16]}
    halves = shapely.MultiPolygon([shapely.box(179.5, -17, 180, -16), shapely.box(-180, -17, -179.5, -16)])
    cut["geometry"] = shapely.geometry.mapping(halves)
    cut["properties"] |= {"start_datetime": "2020-07-01T17:32:05Z", "sat:absolute_orbit": 31000}
    (tmp_path / "items.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": [*held.items, cut]})
    )
    both = Area(shapely.MultiPolygon([shapely.box(179, -17, 180, -16), shapely.box(-180, -17, -179, -16)]))
    found = StacSource(str(tmp_path / "items.json")).search(asked(area=both))
    assert [offer.source_id[-2:] for offer in found.offers] == ["+1", "ut"]
    east = Area(shapely.box(-179.45, -17, -179, -16))
    assert len(StacSource(str(tmp_path / "items.json")).search(asked(area=east)).offers) == 1


# static catalogues


@pytest.mark.parametrize("where", ["", "catalog.json", "sentinel-1-rtc/collection.json"])
def test_static_catalogue_on_disk_is_walked(held: Holdings, tmp_path: Path, where: str):
    root = held.write(tmp_path / "c")
    source = StacSource(str(root.parent / where))
    year = Period(moment("2020-06-05"), moment("2020-06-12"))
    found = source.search(asked(period=year, products=RADAR))
    assert [str(offer.time)[:10] for offer in found.offers] == ["2020-06-07"]
    assert found.offers[0].radiometry == ""
    everything = source.search(asked(period=year, bands=("B04",)))
    whole = ["sar"] if where.startswith("sentinel-1") else ["sar", "optical"]
    assert [offer.group for offer in everything.offers] == whole


def test_static_catalogue_over_http(held: Holdings, tmp_path: Path):
    root = held.write(tmp_path / "c")
    pages = {
        path.relative_to(root.parent).as_posix(): path.read_bytes() for path in root.parent.rglob("*.json")
    }
    with StacServer(Holdings(files=pages | {f"files/{n}": d for n, d in held.files.items()})) as server:
        source = StacSource(f"{server.root}/files/catalog.json", patience=HASTY)
        offers = source.search(asked(products=RADAR)).offers
        assert len(offers) == 3
        assert np.isfinite(offers[0].read(GRID).values).mean() > 0.9


def test_real_static_catalogue(shared: Path):
    root = shared / "data/stac_and_acquisition_catalogues/stactools_sentinel1/rtc/catalog.json"
    florida = asked(area=Area(shapely.box(-81.6, 25.6, -81.4, 25.8)))
    found = StacSource(str(root)).search(florida)
    (offer,) = found.offers
    assert offer.key == "rtc/sentinel1-rtc-aws/S1A/121/030643a"
    assert offer.time == moment("2020-01-03T23:35:56")
    assert offer.source_id == "S1A_IW_GRDH_1SDV_20200103T233556_20200103T233621_030643_0382F7_C795"


def test_real_item_collection_of_thirteen_dates(shared: Path):
    path = shared / "data/stac_and_acquisition_catalogues/sentinel2_items/site2-2020_jun_jul-35MNM.geojson"
    area = Area(shapely.box(27.3, -7.9, 27.4, -7.8))
    source = StacSource(str(path))
    found = source.search(asked(area=area))
    assert len(found.offers) == 13
    assert {offer.flight.relative_orbit for offer in found.offers} == {78}
    assert np.unique(np.diff([offer.time for offer in found.offers]).astype("timedelta64[D]")).tolist() == [
        np.timedelta64(4, "D"), np.timedelta64(5, "D"),
    ]  # fmt: skip
    assert len(source.search(asked(area=area, max_cloud=20.0)).offers) == 11


def test_real_radar_series_behind_an_api(shared: Path):
    held = opera_series(shared, dates=3)
    area = Area(shapely.box(*held.items[0]["bbox"]))
    with StacServer(held) as server:
        source = StacSource(server.address, patience=HASTY)
        with pytest.raises(SourceError, match=r"127\.0\.0\.1.*say which products; it has sentinel1-rtc-aws"):
            source.search(asked())
        period = Period(moment("2021-11-01"), moment("2022-01-01"))
        found = source.search(asked(area=area, products=("sentinel1-rtc-aws",), period=period))
    told = [(offer.flight.platform, offer.flight.relative_orbit, offer.radiometry) for offer in found.offers]
    truth = [f"S{item['properties']['platform'][-2:].upper()}" for item in held.items]
    assert told == [(platform, 137, "gamma0-rtc") for platform in truth]
    assert set(truth) == {"S1A", "S1B"}


# what goes wrong


@pytest.mark.parametrize("fault", ["429", "503", "truncated", "short"])
def test_search_is_patient(server: StacServer, tmp_path: Path, fault: str):
    server.fault(fault, "search", times=2)
    assert len(planetary(server, tmp_path).search(asked(products=RADAR)).offers) == 3
    server.fault(fault, "search", times=3)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:\d+/stac/search: .*try again later"):
        planetary(server, tmp_path).search(asked(products=RADAR))


def test_server_that_says_when_is_obeyed(server: StacServer, tmp_path: Path):
    waits: list[float] = []
    server.fault("429", "search", seconds=1)
    source = planetary(server, tmp_path)
    import time

    start = time.monotonic()
    source.search(asked(products=RADAR))
    waits.append(time.monotonic() - start)
    assert 1.0 <= waits[0] < 3
    server.fault("429", "search", seconds=3600)
    with pytest.raises(UnavailableError, match="429"):
        source.search(asked(products=RADAR))


def test_waits_grow_and_end():
    waits: list[float] = []

    def busy() -> None:
        raise UnavailableError("busy")

    with pytest.raises(UnavailableError, match="busy"):
        retried(busy, Patience(attempts=5, first_wait=1, longest_wait=5), sleep=waits.append)
    assert [int(wait) for wait in waits[:2]] == [1, 2]
    assert len(waits) == 4
    assert max(waits) <= 5


def test_wrong_addresses_say_so(server: StacServer, tmp_path: Path):
    server.fault("401", "stac")
    with pytest.raises(AccessError, match=r"/stac: the server answers 401; it needs credentials"):
        planetary(server, tmp_path).search(asked())
    with pytest.raises(SourceError, match="404"):
        StacSource(f"{server.root}/nothing?key=secret").search(asked())
    (tmp_path / "a.json").write_text('{"a": 1}')
    with pytest.raises(SourceError, match=r"a\.json: is no STAC catalogue"):
        StacSource(str(tmp_path / "a.json")).search(asked())
    (tmp_path / "b.json").write_text("hello")
    with pytest.raises(SourceError, match=r"b\.json: is no JSON"):
        StacSource(str(tmp_path / "b.json")).search(asked())


def test_items_without_what_is_needed_are_noted(shared: Path, tmp_path: Path):
    grd = real_item(shared, "S1A_IW_GRDH_1SDV_20210809T173953")
    odd = s2_item("2021-08-09T10:00:00Z") | outline(GRID) | {"assets": {"readme": {"href": "a.txt"}}}
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [grd, odd]}))
    area = Area(shapely.box(2, 45, 3.5, 46))
    year = Period(moment("2021-01-01"), moment("2022-01-01"))
    found = StacSource(str(tmp_path / "items.json")).search(asked(area=area, period=year))
    assert found.offers == ()
    assert [note.partition("left out, ")[2] for note in found.notes] == [
        "sentinel-2-l2a: no band that is known",
        "sentinel1-grd: radar that is not calibrated on a map (GRD, SLC); take an RTC product, "
        "or process the SAFE with SNAP",
    ]  # fmt: skip
