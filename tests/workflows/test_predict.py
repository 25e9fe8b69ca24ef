from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

from terradelta.errors import ConfigError, ConflictError, InputError
from terradelta.products import read_summary
from terradelta.workflows.config import PredictSettings, load_settings
from terradelta.workflows.predict import run_predict

_FILE = Path(__file__).parents[1] / "expected" / "scene_models.py"
_SPEC = importlib.util.spec_from_file_location("scene_models", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
models: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(models)

TIFS = ("difference", "expected", "length", "sigma", "standardised", "target")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with random weights that needs neither weather nor elevation."""
    folder = tmp_path_factory.mktemp("run")
    models.conditioned(weather=False, static=0).save_pretrained(folder)
    return folder


def settings(run: Path, cube: Path, out: Path, **more: Any) -> PredictSettings:
    return load_settings(PredictSettings, given={"run": run, "cube": cube, "out": out, **more})


@pytest.fixture(scope="module")
def written(run: Path, cube: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predicted") / "out"
    return run_predict(settings(run, cube, out, what_if="direction"))


def test_products_are_georeferenced_and_named(written: Path, geobox: Any) -> None:
    found = read_summary(written)
    assert {f"{name}.tif" for name in TIFS} | {"comparison.png", "what-if.png"} <= set(found.files)
    assert all((written / name).is_file() for name in found.files)
    for name in TIFS:
        with rasterio.open(written / f"{name}.tif") as file:
            assert file.crs.to_epsg() == 32631 and file.transform == geobox.affine
            assert np.isnan(file.nodata) and file.tags()["TERRADELTA_METHOD"] == "expected"
            assert set(file.units) == {"standard deviations" if name == "standardised" else "dB"}
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert [image["time"][:10] for image in found.acquisitions][-1] == "2023-06-30"
    assert len(found.acquisitions) == 5


def test_rasters_and_zarr_hold_the_same(written: Path) -> None:
    expected = xr.open_zarr(written / "expected.zarr", consolidated=False)
    difference = xr.open_zarr(written / "difference.zarr", consolidated=False)
    layers = {**expected.data_vars, **difference.data_vars}
    for name in TIFS:
        with rasterio.open(written / f"{name}.tif") as file:
            np.testing.assert_array_equal(file.read().squeeze(), layers[name].values, err_msg=name)
    np.testing.assert_allclose(
        difference["difference"].values, (expected["target"] - expected["expected"]).values, atol=1e-5
    )


def test_again_does_nothing_and_other_settings_are_refused(written: Path, run: Path, cube: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*") if path.is_file()}
    run_predict(settings(run, cube, written, what_if="direction", memory="3 GB"))
    with pytest.raises(ConflictError, match="differ in time, acquisitions; choose another folder"):
        run_predict(settings(run, cube, written, what_if="direction", time="2023-06-18"))
    with pytest.raises(ConflictError, match="differ in precision; choose another folder"):
        run_predict(settings(run, cube, written, what_if="direction", precision="bfloat16"))
    assert before == {path: path.stat().st_mtime_ns for path in written.rglob("*") if path.is_file()}


def test_bad_words_and_files(run: Path, cube: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no change is called 'snow'; give direction, dry, rain, all"):
        settings(run, cube, tmp_path, what_if="snow")
    with pytest.raises(ConfigError, match="time is 'noon': no date; write for example"):
        settings(run, cube, tmp_path, time="noon")
    with pytest.raises(InputError, match="what-if rain: the model is not told precipitation"):
        run_predict(settings(run, cube, tmp_path / "a", what_if="rain"))
    with pytest.raises(InputError, match="device is 'moon', which is not here"):
        run_predict(settings(run, cube, tmp_path / "b", device="moon"))
