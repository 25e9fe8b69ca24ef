from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.enums import ColorInterp

import terradelta.products as products
from terradelta.errors import InputError
from terradelta.products.layers import LAYERS
from terradelta.products.rasters import TILE, write_rasters
from terradelta.products.summary import Tally

Make = Callable[..., xr.Dataset]


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326"])
def test_every_layer_comes_back_as_it_was(
    written: dict[str, Path], make: Make, make_grid: Callable[..., GeoBox], crs: str
) -> None:
    folder = written["utm" if crs == "EPSG:32631" else "degrees"]
    expected, grid = make(crs, seed=0 if crs == "EPSG:32631" else 1), make_grid(crs)
    expected = expected if crs == "EPSG:32631" else expected.drop_vars(["difference", "count"])
    for name, layer in LAYERS.items():
        if name not in expected:
            assert not (folder / f"{name}.tif").exists()
            continue
        with rasterio.open(folder / f"{name}.tif") as file:
            np.testing.assert_array_equal(file.read().squeeze(), expected[name].values)
            assert file.crs == crs
            assert file.transform.almost_equals(grid.affine)
            assert file.dtypes[0] == layer.dtype
            assert file.nodata == layer.nodata or (np.isnan(file.nodata) and np.isnan(layer.nodata))
            assert set(file.units) == {expected[name].attrs.get("units", layer.unit)}
            assert layer.description in file.descriptions[0]
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert file.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "ZSTD"


def test_provenance_colours_and_figures_travel_with_the_file(written: dict[str, Path]) -> None:
    with rasterio.open(written["utm"] / "change.tif") as file:
        tags = file.tags()
        assert tags["TERRADELTA_VERSION"] == "9.9"
        assert tags["TERRADELTA_METHOD"] == "robust"
        assert json.loads(tags["TERRADELTA_CONFIGURATION"])["threshold"]["value"] == 3.5
        assert json.loads(tags["TERRADELTA_INPUTS"]) == ["liège.zarr"]
        assert file.colorinterp == (ColorInterp.palette,)
        for entry in LAYERS["change"].classes:
            assert "#" + bytes(file.colormap(1)[entry.value][:3]).hex() == entry.colour
        assert file.colormap(1)[255][3] == 0
    with rasterio.open(written["utm"] / "difference.tif") as file:
        assert [text.split(":")[0] for text in file.descriptions] == ["VV", "VH"]
        values, figures = file.read(1), file.tags(1)
        assert float(figures["STATISTICS_MEAN"]) == pytest.approx(np.nanmean(values.astype("f8")))
        assert float(figures["STATISTICS_STDDEV"]) == pytest.approx(np.nanstd(values.astype("f8")))
        assert float(figures["STATISTICS_MAXIMUM"]) == np.nanmax(values)


def test_large_rasters_are_tiled_and_overviews_never_mix_classes(tmp_path: Path) -> None:
    size = (700, 1300)
    grid = GeoBox.from_bbox((500000, 0, 526000, 14000), "EPSG:32631", resolution=20)
    rng = np.random.default_rng(0)
    change = np.where(rng.random(size) < 0.5, 1, 0).astype("uint8")
    date = np.where(change, rng.choice([18000, 19000], size), -1).astype("int32")
    score = rng.normal(size=size).astype("float32")
    data = {"change": change, "date": date, "score": score}
    layers = xr.Dataset({name: wrap_xr(array, grid) for name, array in data.items()})
    write_rasters(layers, tmp_path, {}, Tally(grid))
    for name, array in data.items():
        with rasterio.open(tmp_path / f"{name}.tif") as file:
            assert file.block_shapes == [(TILE, TILE)]
            assert file.overviews(1) == [2, 4]
            np.testing.assert_array_equal(file.read(1), array)
        with rasterio.open(tmp_path / f"{name}.tif", overview_level=0) as file:
            small = file.read(1)
        if name == "score":
            means = score.reshape(350, 2, 650, 2).mean(axis=(1, 3))
            np.testing.assert_allclose(small, means, atol=1e-5)
        else:
            assert set(np.unique(small)) <= set(np.unique(array))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["change.tif", "date.tif", "score.tif"]


def test_dask_blocks_are_computed_once_and_few_at_a_time(tmp_path: Path) -> None:
    side, chunk = 3000, 600
    grid = GeoBox.from_bbox((500000, 0, 500000 + side * 20, side * 20), "EPSG:32631", resolution=20)
    seen: list[int] = []

    def block(values: np.ndarray) -> np.ndarray:
        seen.append(values.size)
        return values + np.float32(1)

    empty = np.empty((0, 0), "float32")
    source = da.zeros((side, side), chunks=chunk, dtype="float32").map_blocks(
        block, dtype="float32", meta=empty
    )
    layers = xr.Dataset(
        {
            "score": wrap_xr(source, grid),
            "change": wrap_xr((source > 0.5).astype("uint8"), grid),
        }
    )
    tally = Tally(grid)
    write_rasters(layers, tmp_path, {}, tally)
    assert len(seen) == (side // chunk) ** 2, "each block is computed once, though two layers need it"
    assert max(seen) <= chunk**2
    change = tally.change()
    assert change is not None and change.changed_pixels == side**2


def test_rows_from_south_to_north_are_turned(tmp_path: Path, make: Make) -> None:
    straight = make()[["change", "score"]]
    products.write(straight, tmp_path / "a")
    products.write(straight.isel(y=slice(None, None, -1)), tmp_path / "b")
    assert products.compare(tmp_path / "a", tmp_path / "b") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.rename(score="strength"), "unknown layer 'strength'; known are change, score"),
        (lambda data: data.drop_vars(list(data.data_vars)), "no layer"),
        (lambda data: data.assign(count=data["difference"]), r"'count' has dimensions .*expected \(y, x\)"),
        (lambda data: data.drop_vars(["x", "y", "spatial_ref"]), "no georeference"),
        (lambda data: data.assign(change=data["change"] + 3), "'change' holds"),
    ],
)
def test_wrong_results_are_refused_and_leave_nothing(
    tmp_path: Path, make: Make, change: Callable[[xr.Dataset], xr.Dataset], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        products.write(change(make()), tmp_path / "out")
    assert list((tmp_path / "out").iterdir() if (tmp_path / "out").exists() else []) == []
