from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import terradelta.products as products
from terradelta.errors import InputError
from terradelta.products import compare
from terradelta.products import compare as module

Make = Callable[..., xr.Dataset]


@pytest.fixture
def pair(written: dict[str, Path], tmp_path: Path) -> tuple[Path, Path]:
    shutil.copytree(written["utm"], tmp_path / "b")
    return written["utm"], tmp_path / "b"


def _edit(path: Path, change: Callable[[np.ndarray], None], **profile: object) -> None:
    with rasterio.open(path) as file:
        values, kept, units = file.read(), file.profile | profile, file.units
    change(values)
    kept = {key: kept[key] for key in ("dtype", "nodata", "width", "height", "count", "crs", "transform")}
    path.unlink()
    with rasterio.open(path, "w", driver="GTiff", **kept) as file:
        file.write(values.astype(kept["dtype"]))
        file.units = units


def test_equal_folders_have_no_differences(pair: tuple[Path, Path]) -> None:
    assert compare(*pair) == []


def test_pixels_are_told_with_place_and_size(pair: tuple[Path, Path]) -> None:
    def change(values: np.ndarray) -> None:
        values[1, 100, 140] += 2.5
        values[1, 7, 50] += 0.25
        values[1, 30, 30] = np.nan
        values[0, 30, 30] += 1e-8

    _edit(pair[1] / "difference.tif", change)
    lines = compare(*pair)
    assert len(lines) == 1
    assert lines[0].startswith(
        "difference.tif: band 2: 3 of 18000 pixels differ; first at row 7, column 50 (x 657010, y 5602250): "
    )
    assert lines[0].endswith("largest difference 2.5 at row 100, column 140")
    assert compare(*pair, tolerance=3.0)[0].startswith("difference.tif: band 2: 1 of 18000")


def test_integer_layers_must_be_equal_whatever_the_tolerance(pair: tuple[Path, Path]) -> None:
    _edit(pair[1] / "change.tif", lambda values: values.__setitem__((0, 119, 149), 1))
    assert compare(*pair, tolerance=5) == [
        "change.tif: 1 of 18000 pixels differ; first at row 119, column 149 (x 658990, y 5600010): 0 and 1; "
        "largest difference 1 at row 119, column 149"
    ]


def test_strips_do_not_matter(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)

    def change(values: np.ndarray) -> None:
        values[rng.random(values.shape) < 0.01] += 1

    _edit(pair[1] / "score.tif", change)
    whole = compare(*pair)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("terradelta.products.compare._STRIP", 7, raising=False)
        assert compare(*pair) == whole
    assert len(whole) == 1 and module is compare


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"crs": "EPSG:32632"}, "change.tif: CRS EPSG:32631 and EPSG:32632"),
        ({"nodata": 254}, "change.tif: no data 255.0 and 254.0"),
        ({"dtype": "int16", "nodata": 255}, "change.tif: type uint8 and int16"),
        ({"transform": rasterio.Affine(20, 0, 656010, 0, -20, 5602400)}, "change.tif: transform"),
    ],
)
def test_grid_and_type(pair: tuple[Path, Path], profile: dict[str, object], words: str) -> None:
    _edit(pair[1] / "change.tif", lambda _: None, **profile)
    lines = compare(*pair)
    assert len(lines) == 1 and lines[0].startswith(words)


def test_another_size_is_told_and_not_compared(tmp_path: Path, make: Make) -> None:
    products.write(make()[["score"]], tmp_path / "a")
    products.write(make(size=(121, 150))[["score"]], tmp_path / "b")
    lines = compare(tmp_path / "a", tmp_path / "b")
    assert lines[0] == "score.tif: size 120 × 150 and 121 × 150"
    assert not any("pixels" in line for line in lines)


def test_missing_files_and_orbits(pair: tuple[Path, Path]) -> None:
    first, second = pair
    (second / "score.png").unlink()
    lines = compare(first, second)
    assert lines == [f"score.png: only in {first}", f"score.png: listed but missing in {second}"]
    (second / "score.tif").write_bytes(b"II*\0 not a raster")
    assert any("score.tif: cannot be read" in line for line in compare(first, second))


def test_an_orbit_more_and_other_polygons(tmp_path: Path, make: Make) -> None:
    scene = make()[["change", "score"]]
    other = scene.copy(deep=True)
    other["change"][70, 60] = 0
    products.write({"combined": scene, "orbit-1": scene}, tmp_path / "a")
    products.write(other, tmp_path / "b")
    lines = compare(tmp_path / "a", tmp_path / "b")
    assert lines[0] == "changed area: 129600 m² and 129200 m²"
    assert f"orbit-1: only in {tmp_path / 'a'}" in lines
    assert any(
        line.startswith("polygons.gpkg: outline differs in 1 polygons; first in polygon 3") for line in lines
    )
    assert any(
        line == "polygons.parquet: pixels differs in 1 polygons; first in polygon 3: 120 and 119"
        for line in lines
    )
    other["change"][70:90, 60:80] = 0
    products.write(other, tmp_path / "b")
    assert "polygons.gpkg: 3 and 2 polygons" in compare(tmp_path / "a", tmp_path / "b")


def test_what_cannot_be_compared(tmp_path: Path, written: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="no finished result"):
        compare(tmp_path, written["utm"])
    with pytest.raises(InputError, match="tolerance is -1"):
        compare(written["utm"], written["utm"], tolerance=-1)
