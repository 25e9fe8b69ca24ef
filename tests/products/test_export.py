from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox

import terradelta.products as products
from terradelta.errors import InputError, StorageError
from terradelta.products import export

Make = Callable[..., xr.Dataset]


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("place", ["utm", "degrees"])
def test_netcdf_and_zarr_keep_values_dates_and_crs(
    written: dict[str, Path],
    tmp_path: Path,
    make: Make,
    make_grid: Callable[..., GeoBox],
    suffix: str,
    place: str,
) -> None:
    target = export(written[place], tmp_path / f"all{suffix}")
    engine = {"engine": "h5netcdf"} if suffix == ".nc" else {"engine": "zarr", "consolidated": False}
    crs = "EPSG:32631" if place == "utm" else "EPSG:4326"
    scene = make(crs, seed=0 if place == "utm" else 1)
    with xr.open_dataset(target, decode_coords="all", **engine) as data:
        assert data.odc.geobox.crs == crs
        assert data.odc.geobox.affine.almost_equals(make_grid(crs).affine)
        np.testing.assert_array_equal(data["score"], scene["score"])
        expected = np.where(scene["change"] == 255, np.nan, scene["change"])
        np.testing.assert_array_equal(data["change"], expected)
        days = scene["date"].values.astype("datetime64[D]").astype("datetime64[ns]")
        days[scene["date"].values == -1] = np.datetime64("NaT")
        np.testing.assert_array_equal(data["date"], days)
        if place == "utm":
            assert data["band"].values.tolist() == ["VV", "VH"]
            np.testing.assert_array_equal(data["difference"], scene["difference"])
            again = data.load()
    if place == "utm":
        products.write(again, tmp_path / "again")
        lines = products.compare(written[place], tmp_path / "again")
        assert [line for line in lines if ".tif" in line] == []


def test_geotiffs_into_a_folder_or_one_file(written: dict[str, Path], tmp_path: Path, make: Make) -> None:
    export(written["utm"], tmp_path / "tiffs", format="geotiff")
    assert sorted(path.stem for path in (tmp_path / "tiffs").iterdir()) == [
        "change", "count", "date", "difference", "score",
    ]  # fmt: skip
    export(written["utm"], tmp_path / "one.tif", layers=["change"])
    with rasterio.open(tmp_path / "one.tif") as file:
        np.testing.assert_array_equal(file.read(1), make()["change"])
        assert "LAYOUT" not in file.tags(ns="IMAGE_STRUCTURE")
        assert file.tags()["TERRADELTA_METHOD"] == "robust"
        assert file.colormap(1)[1][:3] != (1, 1, 1)
    with pytest.raises(InputError, match=r"one\.tif takes one layer, not change, score"):
        export(written["utm"], tmp_path / "one.tif")


def test_a_box_cuts_along_whole_pixels(written: dict[str, Path], tmp_path: Path, make: Make) -> None:
    box = (656610.0, 5601950.0, 656790.0, 5602390.0)
    options = {"bbox": box, "bbox_crs": "EPSG:32631"}
    export(written["utm"], tmp_path / "part.tif", layers=["difference"], **options)
    with rasterio.open(tmp_path / "part.tif") as file:
        np.testing.assert_array_equal(file.read(), make()["difference"].values[:, 0:23, 30:40])
        assert (file.transform.c, file.transform.f) == (656600.0, 5602400.0)
    export(written["utm"], tmp_path / "part.nc", **options)
    with xr.open_dataset(tmp_path / "part.nc", engine="h5netcdf") as data:
        np.testing.assert_array_equal(data["score"], make()["score"].values[0:23, 30:40])
    export(written["utm"], tmp_path / "part.geojson", **options)
    assert gpd.read_file(tmp_path / "part.geojson")["id"].tolist() == [1]
    export(written["utm"], tmp_path / "part.png", layers=["score"], **options)
    assert (tmp_path / "part.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "part.geojson",
        "part.nc",
        "part.png",
        "part.tif",
    ]


def test_vector_formats_hold_all_polygons(written: dict[str, Path], tmp_path: Path) -> None:
    original = gpd.read_parquet(written["utm"] / "polygons.parquet")
    for name in ("a.geojson", "b.gpkg", "c.shp", "d.parquet"):
        target = export(written["utm"], tmp_path / name)
        polygons = gpd.read_parquet(target) if name == "d.parquet" else gpd.read_file(target)
        assert polygons.crs == ("EPSG:4326" if name == "a.geojson" else "EPSG:32631")
        assert polygons["area_m2"].tolist() == original["area_m2"].tolist()
        assert [str(value)[:10] for value in polygons["first_date"]] == [
            str(day) for day in original["first_date"]
        ]
        shapes = polygons.to_crs("EPSG:32631").geometry
        assert shapes.symmetric_difference(original.geometry).area.max() < 5  # GeoJSON keeps 7 digits
    export(written["utm"], tmp_path / "folder", format="shapefile")
    assert len(gpd.read_file(tmp_path / "folder" / "polygons.shp")) == 3
    with export(written["utm"], tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    points = original.geometry.representative_point().to_crs("EPSG:4326")
    assert float(rows[0]["longitude"]) == pytest.approx(points[0].x, abs=1e-3)
    assert rows[1]["wkt"].startswith("MULTIPOLYGON") and rows[1]["first_date"] == "2020-01-25"


def test_empty_polygons_are_exported_too(tmp_path: Path, make: Make) -> None:
    scene = make()[["change"]]
    scene["change"][:] = 0
    products.write(scene, tmp_path / "out")
    for name in ("a.geojson", "b.gpkg", "c.shp", "d.csv"):
        export(tmp_path / "out", tmp_path / name)
    assert len(gpd.read_file(tmp_path / "a.geojson")) == len(gpd.read_file(tmp_path / "b.gpkg")) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "a.xyz"}, r"unknown suffix '.xyz' of a.xyz; formats are geotiff"),
        ({"target": "a", "format": "video"}, "unknown format 'video'"),
        ({"target": "a.nc", "layers": ["strength"]}, "no layer 'strength'; it has change, score"),
        ({"target": "a.nc", "bbox": (0, 0, 1, 1)}, "lies beside the map, which is west 5"),
        ({"target": "a.nc", "bbox": (2, 0, 1, 1)}, "bbox is .*rising order"),
        ({"target": "a.nc", "bbox": (0, 0, 1, 1), "bbox_crs": "EPSG:1"}, "'EPSG:1' is no CRS"),
    ],
)
def test_wrong_requests_are_refused(
    written: dict[str, Path], tmp_path: Path, options: dict[str, object], words: str
) -> None:
    target = tmp_path / str(options.pop("target"))
    with pytest.raises(InputError, match=words):
        export(written["utm"], target, **options)
    assert list(tmp_path.iterdir()) == []


def test_no_polygons_and_no_place_to_write(tmp_path: Path, make: Make) -> None:
    products.write(make()[["score"]], tmp_path / "out")
    with pytest.raises(InputError, match="no polygons"):
        export(tmp_path / "out", tmp_path / "a.csv")
    with pytest.raises(StorageError, match="cannot write"):
        export(tmp_path / "out", tmp_path / "out" / "score.tif" / "a.nc")
