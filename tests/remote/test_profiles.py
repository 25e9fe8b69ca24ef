from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stac_queries import asked
from stac_server import real_item

from terradelta.errors import ConfigError, SourceError
from terradelta.sources.families import OPTICAL_BANDS, POLARISATIONS
from terradelta.sources.layers import Flight
from terradelta.sources.remote.stac import ProductProfile, StacSource, load_profile, profile_names
from terradelta.sources.remote.stac.items import Item
from terradelta.sources.remote.stac.scenes import Scene, recognised, scene_of

ROOT = Path(__file__).resolve().parents[2]
PLANETARY = "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext.json"
OWN = """
name: own
address: https://example.org/stac
defaults: [rtc]
products:
  rtc:
    collection: sentinel-1-rtc
    kind: sar
    bands: {VV: [vv, gamma0_vv], VH: [vh, gamma0_vh]}
    unit: linear
    radiometry: gamma0-rtc
"""


@pytest.mark.parametrize("name", profile_names())
def test_profiles_are_whole(name: str):
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.defaults) <= set(profile.products)
    for product in profile.products.values():
        known = {"sar": POLARISATIONS, "optical": OPTICAL_BANDS}.get(product.kind, (product.kind,))
        assert set(product.bands) <= set(known)
        assert (product.kind == "optical") == bool(product.offset)
        if product.kind == "sar":
            assert product.refused or (product.radiometry and product.unit)
    assert not any(profile.products[product].refused for product in profile.defaults)


def test_page_lists_every_product():
    page = (ROOT / "docs/catalogues.md").read_text(encoding="utf-8")
    for name in profile_names():
        for product, told in load_profile(name).products.items():
            assert f"| `{name}` | `{product}` | `{told.collection}` |" in page


def test_own_profile_and_its_mistakes(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    source = StacSource(str(path), address="http://127.0.0.1:1/stac")
    assert (source.name, source.products, source.profile.address) == (
        "own",
        ("rtc",),
        "http://127.0.0.1:1/stac",
    )
    path.write_text(OWN.replace("unit: linear", "units: linear"))
    with pytest.raises(ConfigError, match=r"own\.yaml: products\.rtc\.units: Extra inputs"):
        load_profile(str(path))
    with pytest.raises(ConfigError, match=r"none\.yaml: no profile.*planetary-computer"):
        load_profile(str(tmp_path / "none.yaml"))
    with pytest.raises(SourceError, match=r"earthsearch: no catalogue; give copernicus, earth-search"):
        _ = StacSource("earthsearch").profile


def test_planetary_computer_reads_its_real_item(shared: Path):
    item = Item(real_item(shared, PLANETARY))
    product = load_profile("planetary-computer").products["sentinel-2-l2a"]
    scene = scene_of(item, "sentinel-2-l2a", product, ())
    assert isinstance(scene, Scene)
    assert len(scene.bands) == 12
    assert scene.piece.bands[3].address.endswith("_B04_10m.tif")
    assert scene.piece.mask is not None
    assert scene.piece.mask.address.endswith("_SCL_20m.tif")
    assert str(scene.time) == "2019-06-29T21:25:29.024000000"
    assert scene.flight.identity == ("S2B", 43, "descending")
    assert (item.tile, item.datatake, item.version[0]) == ("6VVN", "20190629T212529", 212)


def test_plain_catalogues_are_recognised_band_by_band(shared: Path):
    planetary, earth_search = (Item(real_item(shared, name)) for name in (PLANETARY, "S2A_28QCH_20200714_0"))
    for item in (planetary, earth_search):
        told = recognised(item)
        assert isinstance(told, ProductProfile)
        assert (len(told.bands), told.mask, told.kind) == (12, "SCL", "optical")
        assert told.bands["B8A"] == ("B8A",)
    assert earth_search.tile == "28QCH"
    assert earth_search.flight.identity == ("S2A", 123, "")
    assert earth_search.datatake == "20200714T115221"


@pytest.mark.parametrize(
    ("name", "flight"),
    [
        ("S1A_20200103_17RMJ_ASC.json", Flight("S1A", "ascending", 121)),
        ("S1B_20161121_12SYJ_ASC.json", Flight("S1B", "ascending", 49)),
    ],
)
def test_real_radar_is_recognised(shared: Path, name: str, flight: Flight):
    item = Item(real_item(shared, name))
    told = recognised(item)
    assert isinstance(told, ProductProfile)
    assert (told.radiometry, told.unit, list(told.bands)) == ("gamma0-rtc", "linear", ["VV", "VH"])
    scene = scene_of(item, "rtc", told, ("VV", "VH"))
    assert isinstance(scene, Scene)
    assert scene.flight.identity == flight.identity
    assert np.isnan(scene.flight.incidence_angle)
    assert scene.piece.bands[1].name == "Gamma0_VH.tif"
    assert scene.piece.bands[1].decoding.nodata == (0.0,)


def test_real_grd_is_refused(shared: Path):
    item = Item(real_item(shared, "S1A_IW_GRDH_1SDV_20210809T173953"))
    assert "not calibrated on a map (GRD, SLC); take an RTC product" in str(recognised(item))
    assert item.flight.identity == ("S1A", 59, "ascending")


@pytest.mark.parametrize("profile", profile_names())
def test_grd_of_a_profile_is_refused_with_a_way_out(profile: str):
    with pytest.raises(SourceError, match=r"sentinel-1-grd cannot be used: .*(sentinel-1-rtc).*SNAP"):
        StacSource(profile).search(asked(products=("sentinel-1-grd",)))
    with pytest.raises(SourceError, match=r"has no product 'landsat'; it has .*sentinel-2-l2a"):
        StacSource(profile).search(asked(products=("landsat",)))


def test_common_names_of_earth_search_1():
    names = {"red": "red", "nir": "nir", "nir08": "nir08", "swir16": "swir16", "visual": "", "red-jp2": "red"}
    assets = {
        name: {"href": f"{name}.tif", "eo:bands": [{"common_name": common}] * (3 if name == "visual" else 1)}
        for name, common in names.items()
    }
    told = recognised(Item({"id": "x", "properties": {}, "assets": assets}))
    assert isinstance(told, ProductProfile)
    assert told.bands == {"B04": ("red", "red-jp2"), "B08": ("nir",), "B8A": ("nir08",), "B11": ("swir16",)}


def test_names_of_copernicus_prefer_small_pixels():
    assets = {
        name: {"href": f"s3://eodata/{name}.jp2"} for name in ("B02_60m", "B02_10m", "SCL_60m", "SCL_20m")
    }
    told = recognised(Item({"id": "x", "properties": {}, "assets": assets}))
    assert isinstance(told, ProductProfile)
    assert (told.bands["B02"][0], told.mask) == ("B02_10m", "SCL_20m")
