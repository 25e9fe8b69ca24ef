"""The STAC item and the QGIS styles."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from xml.etree import ElementTree

import pystac
import pytest
from odc.geo.geobox import GeoBox
from pystac.extensions.projection import ProjectionExtension
from shapely.geometry import shape

import terradelta.products as products
from terradelta.products.layers import LAYERS
from terradelta.products.stac import stac_item
from terradelta.products.styles import qgis_style
from terradelta.products.summary import grid_summary


def test_the_item_is_read_back_by_pystac_with_all_it_needs(written: dict[str, Path]) -> None:
    folder = written["utm"]
    item = pystac.Item.from_file(str(folder / "item.json"))
    raw = json.loads((folder / "item.json").read_text())
    assert raw["type"] == "Feature" and raw["stac_version"].startswith("1.")
    assert raw["id"] == "liege-2020-more-combined"
    assert raw["properties"]["datetime"] is None
    assert raw["properties"]["start_datetime"] == "2020-01-01T05:50:00Z"
    assert raw["properties"]["end_datetime"] == "2020-06-13T05:50:00Z"
    assert raw["links"] == []
    projection = ProjectionExtension.ext(item)
    assert projection.epsg == 32631 and projection.shape == [120, 150]
    assert projection.transform == [20.0, 0.0, 656000.0, 0.0, -20.0, 5602400.0]
    footprint = shape(item.geometry)
    assert footprint.is_valid and footprint.exterior.is_ccw
    assert item.bbox == pytest.approx(footprint.bounds)
    assert 5.2 < item.bbox[0] < item.bbox[2] < 5.3 and 50.5 < item.bbox[1] < item.bbox[3] < 50.6
    again = pystac.Item.from_dict(item.to_dict(include_self_link=False, transform_hrefs=False))
    assert again.to_dict(include_self_link=False, transform_hrefs=False) == raw


def test_assets_are_all_files_with_roles_media_types_and_checksums(written: dict[str, Path]) -> None:
    folder = written["utm"]
    item = json.loads((folder / "item.json").read_text())
    listed = {path.name for path in folder.iterdir() if path.is_file()} - {"item.json"}
    assert {asset["href"] for asset in item["assets"].values()} == {f"./{name}" for name in listed}
    for asset in item["assets"].values():
        data = (folder / asset["href"]).read_bytes()
        assert asset["type"] and asset["roles"] and asset["title"]
        assert asset["file:size"] == len(data)
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    change, difference = item["assets"]["change"], item["assets"]["difference"]
    assert change["type"] == pystac.MediaType.COG and change["roles"] == ["data"]
    assert (change["data_type"], change["nodata"]) == ("uint8", 255)
    assert (difference["nodata"], difference["unit"]) == ("nan", "dB")
    assert [band["name"] for band in difference["bands"]] == ["VV", "VH"]
    assert difference["bands"][0]["statistics"]["minimum"] < 0
    assert item["assets"]["change-png"]["roles"] == ["thumbnail"]


def test_a_grid_across_the_antimeridian_is_split(tmp_path: Path) -> None:
    grid = GeoBox.from_bbox((160000, 1000, 172000, 9000), "EPSG:32601", resolution=1000)
    summary = products.Summary(
        name="combined", title="", created="2020-01-01T00:00:00Z", tool_version="1", method="",
        configuration={}, inputs=[], acquisitions=[], grid=grid_summary(grid), layers={},
    )  # fmt: skip
    item = stac_item(summary, grid, tmp_path, [])
    assert item["geometry"]["type"] == "MultiPolygon"
    assert shape(item["geometry"]).area < 0.02
    west, _, east, _ = item["bbox"]
    assert 179 < west < 180 and -180 < east < -179
    assert item["properties"]["start_datetime"] == "2020-01-01T00:00:00Z"


@pytest.mark.parametrize("name", list(LAYERS))
def test_styles_are_what_qgis_reads(name: str) -> None:
    layer = LAYERS[name]
    text = qgis_style(layer, (18262.0, 18362.0))
    assert text.startswith("<!DOCTYPE qgis PUBLIC")
    root = ElementTree.fromstring(text)
    assert root.tag == "qgis" and "version" in root.attrib
    renderer = root.find("pipe/rasterrenderer")
    assert renderer is not None and renderer.get("band") == "1"
    if layer.classes:
        assert renderer.get("type") == "paletted"
        entries = renderer.findall("colorPalette/paletteEntry")
        found = [(int(entry.get("value", "")), entry.get("color"), entry.get("label")) for entry in entries]
        assert found == [(entry.value, entry.colour, entry.label) for entry in layer.classes]
        return
    assert renderer.get("type") == "singlebandpseudocolor"
    assert (renderer.get("classificationMin"), renderer.get("classificationMax")) == ("18262", "18362")
    shader = renderer.find("rastershader/colorrampshader")
    assert shader is not None and shader.get("colorRampType") == "INTERPOLATED"
    items = shader.findall("item")
    values = [float(item.get("value", "")) for item in items]
    assert values == sorted(values) and (values[0], values[-1]) == (18262, 18362)
    assert (items[0].get("color"), items[-1].get("color")) == (layer.ramp[0], layer.ramp[-1])
    if layer.kind == "date":
        assert items[0].get("label") == "2020-01-01"


def test_every_raster_has_its_style_with_the_range_of_its_values(written: dict[str, Path]) -> None:
    for folder in written.values():
        for path in folder.rglob("*.tif"):
            ElementTree.parse(path.with_suffix(".qml"))
    dates = ElementTree.parse(written["utm"] / "date.qml").find("pipe/rasterrenderer")
    assert dates is not None
    assert (dates.get("classificationMin"), dates.get("classificationMax")) == ("18274", "18358")
