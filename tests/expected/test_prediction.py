from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import terradelta as td
from terradelta.cube import geobox_of, write_cube
from terradelta.errors import ConfigError, ConflictError, CubeError, InputError
from terradelta.expected.conditions import FEATURES
from terradelta.expected.prediction import store as prediction_store
from terradelta.expected.prediction import tiling
from terradelta.expected.prediction.footprint import PROCESS_BYTES, blank_inputs, probe
from terradelta.expected.prediction.plan import PredictionPlan
from terradelta.expected.prediction.run import predict
from terradelta.expected.prediction.scenarios import what_if
from terradelta.expected.prediction.store import open_prediction
from terradelta.expected.prediction.tiling import Tiling
from terradelta.expected.preparation import Preparation
from terradelta.expected.samples.sample import Sample
from terradelta.types import Size

MANY = 5e9

_SPEC = importlib.util.spec_from_file_location("scene_models", Path(__file__).with_name("scene_models.py"))
assert _SPEC is not None and _SPEC.loader is not None
models: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(models)
conditioned, published = models.conditioned, models.published


@pytest.fixture(scope="module")
def place() -> xr.DataTree:
    """Three orbits in six weeks, 88 x 88 pixels."""
    return td.simulate.place(seed=1, size=88, years=0.13, optical_days=0, changes=0)


@pytest.fixture(scope="module")
def cube(place: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prediction") / "place.zarr"
    write_cube(place, path)
    return path


def without(place: xr.DataTree, *groups: str) -> xr.DataTree:
    return xr.DataTree.from_dict({n: place[n].to_dataset() for n in place.children if n not in groups})


def whole_sample(place: xr.DataTree) -> Sample:
    """Everything as one sample, read the plain way."""
    from terradelta.expected.samples.cube_images import CubeImages, Grid

    images, last = CubeImages(place), list(range(place["sar"].sizes["time"]))[-5:]
    grid = Grid(0, 0, 88)
    decibel = images.decibel(last, grid)
    return Sample(
        name="all", images=decibel[:-1], target=decibel[-1], conditions=images.conditions(last, grid),
        dem=images.layer("dem", grid),
    )  # fmt: skip


# blocks against the whole


@pytest.mark.parametrize("state", ["none", "median", "scene"])
def test_a_whole_scene_is_what_one_sample_gives(place: xr.DataTree, state: Any) -> None:
    model = conditioned(Preparation("lee", state))
    mean, sigma = model.expected_db(whole_sample(place))
    seen = predict(model, place, "last", memory=MANY)
    np.testing.assert_allclose(seen["expected"].values, mean, atol=2e-4)
    np.testing.assert_allclose(seen["sigma"].values, sigma, atol=2e-4)


@pytest.mark.parametrize(("despeckle", "tolerance"), [("none", 1e-4), ("lee", 1e-4), ("tv", 0.02)])
def test_blocks_give_what_the_whole_gives(place: xr.DataTree, despeckle: Any, tolerance: float) -> None:
    model = conditioned(Preparation(despeckle, "median"))
    whole = predict(model, place, "last", memory=MANY)
    margin = PredictionPlan.of(model).margin
    blocks = predict(model, place, "last", block=30 + 2 * margin, overlap=6, memory=MANY)
    for name in whole.data_vars:
        np.testing.assert_allclose(blocks[name].values, whole[name].values, atol=tolerance, err_msg=str(name))


def test_without_the_margin_there_would_be_seams(place: xr.DataTree, monkeypatch: Any) -> None:
    model = conditioned()
    whole = predict(model, place, "last", memory=MANY)["expected"].values
    monkeypatch.setattr(type(model.network), "reach", 0)
    blocks = predict(model, place, "last", block=30, overlap=0, memory=MANY)["expected"].values
    assert np.abs(blocks - whole).max() > 0.01


def test_tiles_of_a_fixed_size(place: xr.DataTree) -> None:
    model, sample = published(32), whole_sample(place)
    seen = predict(model, place, "last", memory=MANY)
    assert np.isfinite(seen["expected"].values).all() and "sigma" not in seen
    cut = replace(
        sample,
        images=sample.images[..., :32, :32],
        target=sample.target[:, :32, :32],
        dem=sample.dem[:32, :32],
    )  # what only the first tile holds is what the network says of it
    alone = model.expected_db(cut)[0][:, :24, :24]
    np.testing.assert_allclose(seen["expected"].values[:, :24, :24], alone, atol=1e-4)


def test_blending_is_the_weighted_mean_of_all_tiles() -> None:
    cut = Tiling(Size(23, 40), tile=16, overlap=5)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(1, *tile.read_size)) for tile in cut.tiles]
    values[1][0, 3, 4] = np.nan
    blended = td.windows.Blender(cut.size, 16, 5)
    for number, one in enumerate(values):
        blended.add(number, one)
    whole = (slice(0, 23), slice(0, 40))
    np.testing.assert_allclose(cut.blended(whole, values.__getitem__), blended.result(), atol=1e-6)
    part = (slice(7, 20), slice(11, 33))
    np.testing.assert_array_equal(
        cut.blended(part, values.__getitem__), cut.blended(whole, values.__getitem__)[:, 7:20, 11:33]
    )


def test_a_scene_smaller_than_the_network_is_mirrored(place: xr.DataTree, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        seen = predict(published(128), place, "last", memory=MANY)
    assert "the scene has 88 x 88 pixels, the network takes 128: mirrored" in caplog.text
    assert seen["expected"].shape == (2, 88, 88) and np.isfinite(seen["expected"].values).all()


# what comes out


def test_result_lies_on_the_grid_and_says_what_it_is(place: xr.DataTree) -> None:
    model = conditioned(Preparation("lee", "none"))
    seen = predict(model, place, "last", memory=MANY)
    assert geobox_of(seen) == geobox_of(place)
    times = place["sar"]["time"].values
    assert seen["time"].values == times[-1]
    assert seen.attrs["previous"] == [str(one)[:19] for one in times[-5:-1]]
    assert json.loads(seen.attrs["preparation"])["despeckle"] == "lee"
    assert {seen[name].attrs["units"] for name in seen.data_vars} == {"dB"}
    diff = td.difference(place, seen)
    np.testing.assert_allclose(
        diff["standardised"].values,
        (seen["target"] - seen["expected"]).values / seen["sigma"].values,
        rtol=1e-5,
    )


def test_no_data_stays_no_data(place: xr.DataTree) -> None:
    tree = without(place)
    radar = tree["sar"].to_dataset()
    values = radar["backscatter"].values.copy()
    values[:, :, :10] = np.nan  # never seen
    values[-1, :, 20:25] = np.nan  # not seen now
    values[-3, :, 40:45] = np.nan  # missing once before
    tree["sar"] = xr.DataTree(radar.assign(backscatter=(radar["backscatter"].dims, values)))
    for model in (conditioned(Preparation("tv", "scene")), published(32)):
        seen = predict(model, tree, "last", memory=MANY)
        missing = np.isnan(seen["expected"].values)
        assert missing[:, :10].all() and not missing[:, 10:].any()
        assert np.isnan(seen["target"].values[:, 20:25]).all()


# on disk


def test_a_store_gives_the_same_and_is_resumed(place: xr.DataTree, cube: Path, tmp_path: Path) -> None:
    model = conditioned(Preparation("lee", "median"))
    told: dict[str, Any] = {"block": 60, "memory": MANY}
    seen = predict(model, cube, "last", store=tmp_path / "a.zarr", **told)
    for name, values in predict(model, place, "last", **told).items():
        np.testing.assert_array_equal(seen[name].values, values.values)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()}
    predict(model, cube, "last", store=tmp_path / "a.zarr", **told)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "a.zarr").rglob("*") if p.is_file()}
    with pytest.raises(ConflictError, match="differs in conditions, cube, images; use the same settings"):
        predict(model, cube, place["sar"]["time"].values[-2], store=tmp_path / "a.zarr", **told)
    again = predict(
        model, cube, place["sar"]["time"].values[-2], store=tmp_path / "a.zarr", overwrite=True, **told
    )
    assert again["time"].values == place["sar"]["time"].values[-2]
    model.precision = "bfloat16"
    with pytest.raises(ConflictError, match="precision"):
        predict(model, cube, place["sar"]["time"].values[-2], store=tmp_path / "a.zarr", **told)
    with pytest.raises(InputError, match="holds no expected image; choose another path"):
        predict(model, cube, "last", store=cube)


_CHILD = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("scene_models", {models!r})
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)
from terradelta.expected.prediction import run as prediction, store as prediction_store, tiling
tiling.PIECE = prediction_store.PIECE = 32
put = prediction_store.PredictionStore.put
def slow(self, *piece):
    put(self, *piece)
    print(piece[0], flush=True)
    time.sleep(60)
prediction_store.PredictionStore.put = slow
prediction.predict(models.conditioned(), {cube!r}, "last", block=60, memory=5e9, store={store!r})
"""


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_killed_and_started_again_it_ends_byte_for_byte_the_same(
    cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [tmp_path / name for name in ("killed.zarr", "whole.zarr")]
    code = _CHILD.format(models=str(models.__file__), cube=str(cube), store=str(stores[0]))
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline().strip() == "0"
    killed.send_signal(signal.SIGKILL)
    killed.wait(20)
    with pytest.raises(CubeError, match="is not finished yet; run the same command again"):
        open_prediction(stores[0])
    for module in (tiling, prediction_store):
        monkeypatch.setattr(module, "PIECE", 32)
    done: list[int] = []
    put = prediction_store.PredictionStore.put
    monkeypatch.setattr(
        prediction_store.PredictionStore, "put", lambda self, n, *rest: (done.append(n), put(self, n, *rest))
    )
    for store in stores:
        predict(conditioned(), cube, "last", block=60, memory=MANY, store=store)
    assert done == [*range(1, 9), *range(9)]
    first, second = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in stores)
    assert first == second and len(first) > 20


# memory


def test_the_need_of_a_network_is_found_without_numbers() -> None:
    model = conditioned()
    found = probe(model.network, 4)
    assert found.tells_sigma and 100 < found.per_pixel < 2000
    more = probe(model.network, 8)
    assert more.per_pixel > found.per_pixel
    assert not probe(published(32).network, 4, 32).tells_sigma
    with torch.inference_mode():
        assert model.network(blank_inputs(model.network, 3, 16)).mean.shape == (1, 2, 16, 16)


def test_a_block_stays_within_the_memory(place: xr.DataTree) -> None:
    plan = PredictionPlan.of(conditioned(Preparation("tv")))
    sides = [plan.cut(Size(5000, 5000), None, None, PROCESS_BYTES + room).tile for room in (7e7, 1e8, 4e8)]
    assert sides == sorted(sides) and sides[0] < sides[-1] <= 512
    for side, room in zip(sides, (7e7, 1e8, 4e8), strict=True):
        assert plan.demand.of(side + 2 * plan.around) <= PROCESS_BYTES + room
    assert plan.cut(Size(5000, 5000), None, None, 2e9) == replace(
        plan.cut(Size(100, 100), None, None, 2e9), size=Size(5000, 5000)
    )
    with pytest.raises(InputError, match=r"memory is 381 MiB, but the smallest block .* bytes per pixel"):
        predict(conditioned(), place, "last", memory=4e8)
    with pytest.raises(InputError, match="a block of the network"):
        predict(published(32), place, "last", memory=4e8)


# what cannot be done


def test_too_few_images_before(place: xr.DataTree) -> None:
    times = place["sar"]["time"].values
    with pytest.raises(CubeError, match="has 2 images before it, the model needs 4; choose a later date"):
        predict(conditioned(), place, times[2])
    with pytest.raises(CubeError, match=r"images of orbit \d+ before it, the model needs 4"):
        predict(conditioned(), place, times[9], same_orbit=True)
    with pytest.raises(InputError, match="no image was taken at 2031-01-01"):
        predict(conditioned(), place, "2031-01-01")


def test_what_the_model_needs_and_the_cube_lacks(place: xr.DataTree, caplog: Any) -> None:
    dry = without(place, "weather")
    with pytest.raises(CubeError, match="trained with temperature, snow_depth, precipitation"):
        predict(conditioned(), dry)
    predict(conditioned(weather=False), dry, memory=MANY)
    with pytest.raises(CubeError, match="trained with elevation, but the cube has no layer dem"):
        predict(conditioned(), without(place, "static"))
    predict(conditioned(static=0), without(place, "static"), memory=MANY)
    with pytest.raises(CubeError, match=r"has the bands VV, VH, the model .* on HH, VH; HH is missing"):
        predict(conditioned(bands=("HH", "VH")), place)


def test_beyond_the_training_is_said(place: xr.DataTree, caplog: Any) -> None:
    ranges = dict.fromkeys(FEATURES, (-9.0, 9.0)) | {"temperature": (0.9, 1.0)}
    model = conditioned(ranges=ranges, spacing=10.0)
    with caplog.at_level(logging.WARNING):
        predict(model, place, "last", memory=MANY)
    assert "extrapolation: temperature" in caplog.text and "seen 27 to 30 °C" in caplog.text
    assert "trained at 10 m per pixel, the cube has 20 m" in caplog.text


def test_settings_out_of_range(place: xr.DataTree) -> None:
    with pytest.raises(InputError, match="block is 64, but the network takes 32 pixels only"):
        predict(published(32), place, block=64, memory=MANY)
    with pytest.raises(InputError, match="overlap is 32; give 0 to 31 pixels"):
        predict(published(32), place, overlap=32, memory=MANY)
    with pytest.raises(InputError, match=r"of which .* are margin; give at least"):
        predict(conditioned(), place, block=4, memory=MANY)


# what if


def test_what_if_changes_the_conditions_of_the_target_only(place: xr.DataTree) -> None:
    seen = what_if(conditioned(), place, "last", "all", rain=30, memory=MANY)
    assert seen["case"].values.tolist() == ["original", "direction", "dry", "rain"]
    assert seen["title"].values[3] == "30 mm of rain on the day" and "heading" in str(seen["title"].values[1])
    change = np.abs(seen["difference"]).mean(("band", "y", "x")).values
    assert change[0] == 0 and (change[[1, 3]] > 1e-4).all()
    np.testing.assert_array_equal(
        seen["expected"].values[0], predict(conditioned(), place, "last", memory=MANY)["expected"].values
    )


def test_direction_is_mirrored_where_the_cube_has_one_only(place: xr.DataTree) -> None:
    radar = place["sar"].to_dataset()
    one = radar.isel(time=np.flatnonzero(radar["orbit_direction"].values == "ascending"))
    tree = xr.DataTree.from_dict({"sar": one, **{n: place[n].to_dataset() for n in ("static", "weather")}})
    title = str(what_if(conditioned(), tree, "last", "direction", memory=MANY)["title"].values[1])
    assert title.startswith("descending, mirrored: heading -167")


def test_what_if_needs_a_model_that_is_told(place: xr.DataTree) -> None:
    with pytest.raises(InputError, match="what-if rain: the model is not told precipitation"):
        what_if(conditioned(weather=False), place, "last", "rain")
    with pytest.raises(ConfigError, match="what-if is 'snow'; give direction, dry, rain or all"):
        what_if(conditioned(), place, "last", "snow")


def test_conditions_by_hand(place: xr.DataTree) -> None:
    reader_model = conditioned()
    seen = predict(reader_model, place, "last", memory=MANY, conditions=lambda one: one)
    same = predict(reader_model, place, "last", memory=MANY)
    np.testing.assert_array_equal(seen["expected"].values, same["expected"].values)
