"""Timelines of places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from pyproj import Transformer
from rasterio.features import geometry_mask

from terradelta.errors import InputError
from terradelta.products import draw_timelines, timelines, write_timelines

Maps = Callable[..., xr.DataArray]
COLUMNS = ["place", "x", "y", "start", "end", "time", "count", "mean", "maximum", "pixels"]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks and few windows at a time, so that places lie across borders."""
    import sys

    module = sys.modules["terradelta.products.timelines"]
    monkeypatch.setattr(module, "_BLOCK", 16)
    monkeypatch.setattr(module, "_BYTES", 4 * 16 * 16 * 3)


def _areas() -> gpd.GeoDataFrame:
    shapes = [
        shapely.box(656100, 5600100, 656450, 5600390),
        shapely.Point(656300, 5600250).buffer(90),  # overlaps the first
        shapely.box(656031, 5600031, 656033, 5600033),  # no pixel's centre in it
        shapely.box(655900, 5599900, 656045, 5600055),  # reaches outside
        shapely.box(0, 0, 10, 10),  # all outside
    ]
    return gpd.GeoDataFrame({"id": [7, 2, 5, 4, 9]}, geometry=shapes, crs="EPSG:32631")


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("lazy", [False, True])
def test_polygons_have_the_figures_of_their_pixels(make_maps: Maps, lazy: bool) -> None:
    maps = make_maps()
    areas = _areas()
    table = timelines(maps.chunk({"window": 2, "y": 13}) if lazy else maps, polygons=areas)
    assert list(table.columns) == COLUMNS
    assert table["place"].unique().tolist() == [f"polygon {number}" for number in areas["id"]]
    for number, shape in zip(areas["id"], areas.geometry, strict=True):
        rows = table[table["place"] == f"polygon {number}"]
        inside = geometry_mask([shape], (40, 60), maps.odc.geobox.affine, invert=True)
        if number == 5:
            inside[36, 3] = True
        values = maps.values[:, inside]
        assert rows["pixels"].tolist() == np.isfinite(values).sum(axis=1).tolist()
        if inside.any():
            np.testing.assert_allclose(rows["mean"], np.nanmean(values, axis=1), rtol=1e-6)
            np.testing.assert_array_equal(rows["maximum"], np.nanmax(values, axis=1).astype(float))
        else:
            assert rows[["mean", "maximum"]].isna().all(axis=None)
        np.testing.assert_array_equal(rows["time"], maps["time"].values)
        np.testing.assert_array_equal(rows["count"], maps["count"].values)
        point = shapely.Point(rows["x"].iloc[0], rows["y"].iloc[0])
        assert shape.buffer(1e-6).contains(point)


@pytest.mark.usefixtures("small_blocks")
def test_points_have_the_value_of_their_pixel_in_any_crs(make_maps: Maps) -> None:
    maps = make_maps()
    points = [(656235.0, 5600285.0), (656000.0, 5600400.0), (656600.0, 5600000.0)]
    table = timelines(maps, points=points)
    places = [(11, 23), (0, 0), (39, 59)]
    for number, (row, column) in enumerate(places, 1):
        rows = table[table["place"] == f"point {number}"]
        np.testing.assert_array_equal(rows["mean"], maps.values[:, row, column].astype(float))
        np.testing.assert_array_equal(rows["mean"], rows["maximum"])
    assert (table["pixels"].iloc[:16] == 1).all() and (table["pixels"].iloc[16:] == 0).all()
    move = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)
    degrees = timelines(maps, points=[move.transform(*points[0])], points_crs="EPSG:4326")
    np.testing.assert_array_equal(degrees["mean"], table["mean"].iloc[:8])
    np.testing.assert_allclose(degrees["x"], 656235, atol=1e-3)
    turned = timelines(maps.isel(y=slice(None, None, -1)), points=points)
    pd.testing.assert_frame_equal(turned, table)


def test_polygons_in_another_crs_are_moved(make_maps: Maps) -> None:
    maps, areas = make_maps(), _areas().iloc[:1]
    there = timelines(maps, polygons=areas.to_crs("EPSG:4326"))
    pd.testing.assert_frame_equal(there, timelines(maps, polygons=areas), atol=1e-3)


def test_few_blocks_are_read_and_never_all_at_once(make_maps: Maps) -> None:
    import dask.array as da

    maps = make_maps((1100, 1200), windows=8)
    read: list[tuple[int, ...]] = []

    def take(block: np.ndarray) -> np.ndarray:
        if block.size:
            read.append(block.shape)
        return block

    lazy = maps.copy(data=da.from_array(maps.values, chunks=(1, 512, 512)).map_blocks(take, dtype="float32"))
    timelines(lazy, points=[(656005.0, 5600005.0)])
    assert read and max(np.prod(shape) for shape in read) <= 512 * 512
    assert len(read) == 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"points": [(656235, 5600200), (1, 2)]},
            r"point 2 at 1, 2 is outside the area, which is x 656000 to",
        ),
        ({"points": [(170, 2)], "points_crs": "EPSG:4326"}, r"\(EPSG:4326\) is outside"),
        ({"points": [(float("nan"), 2)]}, "outside"),
        ({"points": [(1, 2)], "points_crs": "EPSG:0"}, "'EPSG:0' is no CRS"),
        ({"points": [("a", 2)]}, "give two numbers"),
    ],
)
def test_points_that_cannot_be_followed(make_maps: Maps, options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        timelines(make_maps(), **options)  # type: ignore[arg-type]


def test_maps_that_are_none(make_maps: Maps) -> None:
    maps = make_maps()
    with pytest.raises(InputError, match="no coordinate 'end'"):
        timelines(maps.drop_vars("end"))
    with pytest.raises(InputError, match="no georeference"):
        timelines(maps.drop_vars(["y", "x", "spatial_ref"]))


def test_the_csv_reads_back(make_maps: Maps, tmp_path: Path) -> None:
    table = timelines(make_maps(), polygons=_areas(), points=[(656235.0, 5600200.0)])
    path = write_timelines(table, tmp_path / "new" / "timelines.csv")
    assert (
        path.read_text()
        .splitlines()[1]
        .startswith(
            "point 1,656235.0,5600200.0,2018-01-05T05:50:00Z,2018-07-04T05:50:00Z,2018-04-05T05:50:00Z,40,0."
        )
    )
    back = pd.read_csv(path, parse_dates=["start", "end", "time"])
    assert list(back.columns) == COLUMNS
    np.testing.assert_allclose(back["mean"], table["mean"], atol=1e-6)
    assert (back["time"].dt.tz_localize(None) == table["time"]).all()
    assert [path.name for path in path.parent.iterdir()] == ["timelines.csv"]


def test_without_places_there_is_an_empty_table(make_maps: Maps, tmp_path: Path) -> None:
    table = timelines(make_maps(), polygons=_areas().iloc[:0])
    assert list(table.columns) == COLUMNS and table.empty
    assert write_timelines(table, tmp_path / "t.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert draw_timelines(table, tmp_path / "t.png").read_bytes()[:4] == b"\x89PNG"


def test_the_picture_shows_points_and_the_largest_polygons(
    make_maps: Maps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from terradelta.products import charts

    kept: list[list[str]] = []

    def keep(figure: object) -> bytes:
        kept.append([text.get_text() for text in figure.axes[0].get_legend().get_texts()])  # type: ignore[attr-defined]
        return b"png"

    monkeypatch.setattr(charts, "png_of", keep)
    monkeypatch.setattr(charts, "_MOST", 3)
    table = timelines(make_maps(), polygons=_areas(), points=[(656235.0, 5600200.0)])
    draw_timelines(table, tmp_path / "t.png")
    assert kept == [["point 1", "polygon 7 · 1,015 px", "polygon 2 · 256 px"]]
    with pytest.raises(InputError, match="threshold is 2"):
        draw_timelines(table, tmp_path / "t.png", threshold=2)
