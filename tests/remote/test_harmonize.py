from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from stac_server import real_item

from terradelta.sources.remote.stac import load_profile
from terradelta.sources.remote.stac.harmonize import UNKNOWN_PROVIDER, Offset, baseline_of, sentinel2_offset
from terradelta.sources.remote.stac.items import Item

PLANETARY = "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext.json"
EARTH_SEARCH_0 = "S2A_28QCH_20200714_0_L2A.json"
V1 = "earthsearch:boa_offset_applied"
V0 = "sentinel:boa_offset_applied"


def judged(item: dict[str, Any], asset: str, rules: tuple[str, ...]) -> Offset:
    seen = Item(item)
    assert seen.time is not None
    return sentinel2_offset(seen.properties, seen.assets[asset], seen.names, seen.time, rules)


def rules(profile: str, product: str = "sentinel-2-l2a") -> tuple[str, ...]:
    return load_profile(profile).products[product].offset


def changed(item: dict[str, Any], raster: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    """A variant of an item; properties set to None are taken away."""
    one = deepcopy(item)
    one["properties"] |= properties
    one["properties"] = {key: value for key, value in one["properties"].items() if value is not None}
    for asset in one["assets"].values():
        asset.pop("raster:bands", None)
        if raster is not None:
            asset |= raster
    return one


def newer(item: dict[str, Any], baseline: str = "04.00", day: str = "2022-06-29") -> dict[str, Any]:
    """The same as a later processing of a later image."""
    stamp = day.replace("-", "")
    one = changed(item, datetime=f"{day}T21:25:29Z")
    for key in ("s2:processing_baseline", "sentinel:processing_baseline"):
        if key in one["properties"]:
            one["properties"][key] = baseline
    for key in ("s2:product_uri", "sentinel:product_id"):
        if key in one["properties"]:
            one["properties"][key] = (
                f"S2B_MSIL2A_{stamp}T212529_N{baseline.replace('.', '')}_R043_T06VVN_{stamp}T231531"
            )
    return one


@pytest.mark.parametrize("name", [PLANETARY, PLANETARY.replace("_raster_ext", "")])
def test_planetary_computer_goes_by_the_baseline(shared: Path, name: str):
    item, told = real_item(shared, name), rules("planetary-computer")
    assert judged(item, "B04", told) == Offset(0.0, False, "processing baseline 02.12")
    assert judged(newer(item), "B04", told) == Offset(-0.1, True, "processing baseline 04.00")
    old_date_new_processing = newer(item, "05.00", "2018-06-29")
    assert judged(old_date_new_processing, "B04", told).value == -0.1
    assert judged(newer(item, "03.01", "2022-02-01"), "B04", told).value == 0


def test_earth_search_0_took_it_off_and_says_so(shared: Path):
    item = real_item(shared, EARTH_SEARCH_0)
    assert judged(item, "B04", UNKNOWN_PROVIDER) == Offset(0.0, False, "processing baseline 02.14")
    later = changed(newer(item), **{V0: True, "sentinel:processing_baseline": "04.00"})
    assert judged(later, "B04", UNKNOWN_PROVIDER) == Offset(0.0, True, f"{V0} is true")


def test_earth_search_1_goes_by_its_flag_whatever_the_asset_says(shared: Path):
    told = rules("earth-search")
    item = newer(real_item(shared, PLANETARY))
    raster = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
    done, not_done = (changed(item, raster, **{V1: flag}) for flag in (True, False))
    assert judged(done, "B04", told) == Offset(0.0, True, f"{V1} is true")
    assert judged(not_done, "B04", told) == Offset(-0.1, True, "the asset tells -0.1")
    nothing_told = changed(item, **{V1: False})
    assert judged(nothing_told, "B04", told).value == -0.1
    old = changed(real_item(shared, PLANETARY), raster, **{V1: False})
    assert judged(old, "B04", told).value == 0


def test_copernicus_goes_by_the_asset_then_by_the_version(shared: Path):
    told = rules("copernicus")
    item = newer(real_item(shared, PLANETARY))
    plain = changed(item, **{"s2:processing_baseline": None, "processing:version": "05.10"})
    by_asset = changed(plain, {"raster:scale": 0.0001, "raster:offset": -0.1})
    assert judged(by_asset, "B04", told) == Offset(-0.1, True, "the asset tells -0.1")
    assert judged(plain, "B04", told) == Offset(-0.1, True, "processing baseline 05.10")
    by_name = changed(plain, **{"processing:version": None})
    assert judged(by_name, "B04", told) == Offset(-0.1, True, "processing baseline 04.00")


def test_unknown_provider_without_a_baseline_is_guessed_by_date(shared: Path):
    gone = dict.fromkeys(("s2:processing_baseline", "s2:product_uri", "s2:granule_id"))
    item = changed(real_item(shared, PLANETARY), **gone)
    assert baseline_of(item["properties"], Item(item).names) == 0
    assert judged(item, "B04", UNKNOWN_PROVIDER) == Offset(0.0, False, "guessed: acquired before 2022-01-25")
    late = changed(item, datetime="2022-01-25T00:00:00Z")
    assert judged(late, "B04", UNKNOWN_PROVIDER) == Offset(-0.1, True, "guessed: acquired since 2022-01-25")


def test_thirteen_real_dates_have_no_offset(shared: Path):
    series = real_like(shared)
    assert len(series) == 13
    assert {judged(item, "B04", rules("planetary-computer")).value for item in series} == {0.0}


def real_like(shared: Path) -> list[dict[str, Any]]:
    import json

    path = shared / "data/stac_and_acquisition_catalogues/sentinel2_items/site2-2020_jun_jul-35MNM.geojson"
    return list(json.loads(path.read_text())["features"])
