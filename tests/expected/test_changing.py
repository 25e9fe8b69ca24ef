from __future__ import annotations

import dataclasses
import importlib.util
import logging
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyproj import Transformer

from terradelta.cube.files import read_json, write_json
from terradelta.errors import InputError
from terradelta.expected.samples.changing import (
    ChangedSamples,
    change_sample,
    change_samples,
    sample_grid,
    seed_of,
)
from terradelta.expected.samples.cube_images import CubeImages
from terradelta.expected.samples.files import SampleFile, write_samples
from terradelta.expected.samples.planned import PlannedSamples
from terradelta.expected.samples.plans import plan_samples
from terradelta.expected.samples.sample import record_of_sample, sample_of_record
from terradelta.land import Acquisition, Areas, LayerLand
from terradelta.simulate import place
from terradelta.simulate.injected import QuantileMapping, Recipe
from terradelta.tfrecord import read_raw, write_raw

_SPEC = importlib.util.spec_from_file_location("sample_maker", Path(__file__).with_name("sample_maker.py"))
maker: Any = importlib.util.module_from_spec(_SPEC)  # type: ignore[arg-type]
_SPEC.loader.exec_module(maker)  # type: ignore[union-attr]

OFFSET = Recipe(kind="offset", offset=(-2.5, -3.0), count=(2, 2), box=14, superpixels="none")
STATISTICAL = Recipe(kind="statistical", count=(2, 2), box=14, superpixels="none")


@pytest.fixture(autouse=True)
def _heard(monkeypatch):
    monkeypatch.setattr(logging.getLogger("terradelta"), "propagate", True)


@pytest.fixture(scope="module")
def cube():
    return place(seed=3, size=64, years=0.3, changes=0, optical_days=0)


@pytest.fixture(scope="module")
def planned(cube):
    return PlannedSamples(cube, plan_samples(cube, count=4, size=32, seed=1))


class Land:
    """One open area of known pixels; forest in the north of its grid."""

    crs = "EPSG:3067"

    def __init__(self, pixels):
        self.linear, self.asked = pixels, []

    def forest(self, grid):
        self.asked.append(("forest", grid))
        mask = np.zeros(grid.shape, bool)
        mask[: grid.shape[0] // 2] = True
        return mask

    def nearest(self, x, y, count, classes=()):
        self.asked.append(("nearest", x, y, count))
        return Areas((None,) * 3, ("mire",) * 3, np.zeros(3), self.crs)

    def pixels(self, areas, acquisition):
        self.asked.append(("pixels", len(areas.geometries), acquisition))
        return self.linear


def same(one, other):
    maker.equal(one, other)
    for name in ("superpixels", "takes", "truth"):
        np.testing.assert_equal(getattr(one, name), getattr(other, name), name)


# what samples keep


@pytest.mark.parametrize(("name", "count"), [("raw", 2), ("simulated_change_with_prediction", 3)])
def test_published_records_are_kept_whole(shared, tmp_path, name, count):
    source = shared / f"reference/sar/{name}.tfrecord.GZIP"
    records = list(islice(read_raw(source), count))
    write_samples(tmp_path / "a.zarr", map(sample_of_record, records), precision="float32")
    write_raw(tmp_path / "b", map(record_of_sample, SampleFile(tmp_path / "a.zarr")), "none")
    again = list(read_raw(tmp_path / "b"))
    assert len(again) == count
    for one, other in zip(records, again, strict=True):
        for field in dataclasses.fields(one):
            left, right = getattr(one, field.name), getattr(other, field.name)
            if isinstance(left, np.ndarray):
                assert left.dtype == right.dtype, field.name
                np.testing.assert_array_equal(left, right, field.name)
            else:
                assert left == right, field.name


def test_number_of_changes_counts_the_hidden_ones(shared):
    record = next(read_raw(shared / "reference/sar/simulated_change_with_prediction.tfrecord.GZIP"))
    hidden = dataclasses.replace(record, num_simulated_changes=3)
    sample = sample_of_record(hidden)
    assert [change["pixels"] for change in sample.truth] == [np.sum(record.simulated_change_mask == 1), 0, 0]
    assert sample.truth[2]["strength"] is None
    inside = record.simulated_change_mask == 1
    step = record.simulated_change_image[inside].mean(axis=0) - record.target_image[:, inside].mean(axis=1)
    np.testing.assert_allclose(sample.truth[0]["strength"], step, atol=1e-4)
    assert record_of_sample(sample).num_simulated_changes == 3


def test_takes_and_truth_go_through_a_file_and_may_be_unknown(tmp_path):
    truth = ({"number": 1, "kind": "offset", "strength": [-2.5, -2.5], "pixels": 4, "date": "2021-06-20"},)
    labels = np.arange(256).reshape(16, 16)
    known = maker.sample_of(0, takes=("a", "b", "", "d", "e"), truth=truth, superpixels=labels)
    empty = maker.sample_of(1, truth=(), superpixels=labels)
    write_samples(tmp_path / "a.zarr", [known, empty], precision="float32")
    file = SampleFile(tmp_path / "a.zarr")
    same(file[0], known)
    same(file[1], empty)
    assert file[1].takes is None and file[1].truth == ()
    assert file.truths == (truth, ())
    assert file[0].superpixels.dtype == np.int64


def test_old_files_open(tmp_path):
    sample = maker.sample_of(0, takes=tuple("abcde"), truth=(), superpixels=np.ones((16, 16), np.int64))
    write_samples(tmp_path / "new.zarr", [sample], precision="float32")
    for name in ("superpixels", "takes", "truth"):
        shutil.rmtree(tmp_path / "new.zarr" / name)
    old = SampleFile(tmp_path / "new.zarr")[0]
    assert (old.superpixels, old.takes, old.truth) == (None, None, None)
    maker.equal(old, sample)
    write_samples(tmp_path / "plain.zarr", [maker.sample_of(0)])
    folders = {folder.name for folder in (tmp_path / "plain.zarr").iterdir()}
    assert not folders & {"superpixels", "takes", "truth"}


def test_files_of_other_takes_or_truth_have_other_digests(tmp_path):
    digests = set()
    for number, more in enumerate([{}, {"truth": ()}, {"takes": tuple("abcde")}, {"takes": tuple("abcdf")}]):
        write_samples(tmp_path / f"{number}.zarr", [maker.sample_of(0, **more)])
        digests.add(SampleFile(tmp_path / f"{number}.zarr").digest)
    assert len(digests) == 4


def test_wrong_number_of_takes_is_refused():
    with pytest.raises(InputError, match="3 data takes for 4 previous images"):
        maker.sample_of(0, takes=("a", "b", "c"))


# changes


def test_offset_changes_what_the_mask_says_inside_forest():
    sample = maker.sample_of(1, size=64)
    changed = change_sample(sample, OFFSET, seed=5)
    inside = changed.change_mask > 0
    assert inside.sum() > 20 and not inside[sample.forest != 1].any()
    step = changed.changed - sample.target
    np.testing.assert_allclose(
        step[:, inside], np.broadcast_to([[-2.5], [-3.0]], (2, inside.sum())), atol=1e-5
    )
    assert (step[:, ~inside] == 0).all()
    for change in changed.truth:
        assert (change["kind"], change["date"]) == ("offset", "2021-06-20")
        assert change["pixels"] == np.sum(changed.change_mask == change["number"])
    same(changed, change_sample(sample, OFFSET, seed=5))
    assert (change_sample(sample, OFFSET, seed=6).change_mask != changed.change_mask).any()
    for name in ("images", "target", "conditions", "dem"):
        assert getattr(changed, name) is getattr(sample, name)


@pytest.mark.parametrize("recipe", [OFFSET, STATISTICAL], ids=["offset", "statistical"])
def test_no_forest_means_no_changes_and_a_word(recipe, caplog):
    sample = maker.sample_of(1, forest=np.zeros((16, 16), np.float32))
    changed = change_sample(sample, recipe, seed=5)
    assert changed.truth == () and not changed.change_mask.any()
    np.testing.assert_array_equal(changed.changed, sample.target)
    assert "sample 1: no changes" in caplog.text and "forest" in caplog.text


def test_only_forest_means_no_statistical_change_and_a_word(caplog):
    sample = maker.sample_of(1, forest=np.ones((16, 16), np.float32))
    changed = change_sample(sample, STATISTICAL, seed=5)
    assert changed.truth == () and not changed.change_mask.any()
    assert "all is forest" in caplog.text
    assert change_sample(sample, OFFSET, seed=5).truth


def test_forest_that_is_not_known_at_all_is_refused():
    with pytest.raises(InputError, match="no forest mask; give land"):
        change_sample(maker.sample_of(1, forest=None), OFFSET, seed=5)


def mapped(sample, target, inside):
    """Map forest to target band by band, as the recipe says."""
    forest = (sample.forest == 1) & np.isfinite(sample.target).all(axis=0)
    pairs = zip(sample.target, target, strict=True)
    return np.stack([QuantileMapping.fit(band[forest], other)(band[inside]) for band, other in pairs])


def test_statistical_change_takes_the_pixels_that_are_given():
    sample = maker.sample_of(2, size=64)
    target = np.random.default_rng(0).normal([[-20], [-26]], 1, (2, 500))
    changed = change_sample(sample, STATISTICAL, seed=1, target=target, land=Land(None))
    inside = changed.change_mask > 0
    np.testing.assert_allclose(changed.changed[:, inside], mapped(sample, target, inside), atol=1e-4)
    assert {change["from"] for change in changed.truth} == {"given pixels"}


def test_statistical_change_takes_the_samples_own_open_land_and_says_so(caplog):
    sample = maker.sample_of(2, size=64)
    sample.target[:, 5, 5] = np.nan
    changed = change_sample(sample, STATISTICAL, seed=1)
    own = sample.target[:, (sample.forest == 0) & np.isfinite(sample.target[0])]
    inside = changed.change_mask > 0
    np.testing.assert_allclose(changed.changed[:, inside], mapped(sample, own, inside), atol=1e-4)
    assert "no land given" in caplog.text and "outside the forest" in changed.truth[0]["from"]


def test_statistical_change_asks_the_land_for_the_targets_acquisition():
    sample = maker.sample_of(2, size=64)
    decibel = np.random.default_rng(0).normal([[-20], [-26]], 1, (2, 400))
    land = Land((10 ** (decibel / 10)).astype(np.float32))
    land.linear[:, 7] = np.nan
    changed = change_sample(sample, STATISTICAL, seed=1, land=land, areas=3)
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3067", always_xy=True).transform(24.25, 61.5)
    platform = sample.conditions.platform[-1]
    assert land.asked == [
        ("nearest", x, y, 3),
        ("pixels", 3, Acquisition("2021-06-20T05:24:09.693301000", platform)),
    ]
    inside = changed.change_mask > 0
    expected = mapped(sample, np.delete(decibel, 7, axis=1), inside)
    np.testing.assert_allclose(changed.changed[:, inside], expected, atol=1e-3)
    assert changed.truth[0]["from"] == "3 nearest open areas"
    with pytest.raises(InputError, match="has no time"):
        change_sample(dataclasses.replace(sample, time=None), STATISTICAL, seed=1, land=land)


def test_land_without_radar_pixels_means_no_changes(caplog):
    changed = change_sample(maker.sample_of(2), STATISTICAL, seed=1, land=Land(np.empty((2, 0), np.float32)))
    assert changed.truth == () and "shows no pixel" in caplog.text


def test_forest_of_the_land_is_asked_on_the_samples_own_grid(cube, planned):
    images, spot = CubeImages(cube), planned.places[1]
    grid = sample_grid(images, spot)
    x, y = grid.affine @ (0.5, 0.5)
    column, row = ~images.geobox.affine @ (x, y)
    assert (int(row), int(column)) == (spot.grid.rows()[0], spot.grid.columns()[0])
    sample = dataclasses.replace(planned[1], forest=None)
    known = change_sample(planned[1], OFFSET, seed=1)
    asked = change_sample(sample, OFFSET, seed=1, land=LayerLand(cube), grid=grid)
    np.testing.assert_array_equal(asked.changed, known.changed)
    assert asked.truth


def test_published_samples_without_mask_show_three_kilometres():
    land = Land(None)
    sample = maker.sample_of(2, size=20, forest=None)
    changed = change_sample(sample, OFFSET, seed=1, land=land)
    assert not (changed.change_mask[10:] > 0).any() and changed.truth
    grid = land.asked[0][1]
    assert grid.shape == (20, 20) and str(grid.crs) == "EPSG:32635"
    assert (grid.resolution.x, grid.resolution.y) == (150.0, -150.0)
    longitude, latitude = Transformer.from_crs("EPSG:32635", "EPSG:4326", always_xy=True).transform(
        *(grid.affine @ (10, 10))
    )
    np.testing.assert_allclose((latitude, longitude), (61.5, 24.25), atol=1e-9)


def test_samples_of_a_cube_look_like_its_open_land(cube, planned):
    land = LayerLand(cube)
    open_land = np.isin(cube["static"]["land_cover"].values, [20, 30, 40, 60, 80, 90])
    for sample in planned:
        changed = change_sample(sample, STATISTICAL, seed=2, land=land, areas=10_000)
        number = int(np.flatnonzero(cube["sar"]["time"].values == sample.time)[0])
        pixels = 10 * np.log10(cube["sar"]["backscatter"].values[number][:, open_land])
        inside = changed.change_mask > 0
        np.testing.assert_allclose(changed.changed[:, inside], mapped(sample, pixels, inside), atol=1e-3)


# many samples


def test_order_does_not_matter(planned):
    forward = list(change_samples(planned, OFFSET, seed=9))
    backward = list(change_samples(list(planned)[::-1], OFFSET, seed=9))[::-1]
    lazy = ChangedSamples(planned, OFFSET, seed=9)
    for one, two, three, sample in zip(forward, backward, lazy, planned, strict=True):
        same(one, two)
        same(one, three)
        same(one, change_sample(sample, OFFSET, seed=seed_of(9, sample.name)))
    assert len({one.change_mask.tobytes() for one in forward}) == len(forward)
    same(lazy[-1], forward[-1])
    assert [len(part) for part in (lazy, lazy[1:3])] == [4, 2]


def test_log_counts_changes_and_tells_of_the_empty_ones(caplog):
    bare = maker.sample_of(1, size=32, forest=np.zeros((32, 32), np.float32))
    samples = ChangedSamples([maker.sample_of(0, size=32), bare], OFFSET, seed=9)
    changed = list(samples)
    samples.log.tell()
    pixels = [change["pixels"] for change in changed[0].truth]
    assert (samples.log.samples, samples.log.changed, samples.log.changes) == (2, 1, 2)
    assert samples.log.pixels == sum(pixels)
    np.testing.assert_allclose(samples.log.strength, (-2.5, -3.0), atol=1e-5)
    assert "1 of 2 samples get no changes" in caplog.text
    assert next(iter(change_samples([bare], OFFSET, seed=1))).truth == ()


def test_killed_run_goes_on_and_another_recipe_is_told_apart(tmp_path, planned):
    source = tmp_path / "source.zarr"
    write_samples(source, planned, precision="float32")
    whole = ChangedSamples(SampleFile(source), OFFSET, seed=9)
    write_samples(tmp_path / "whole.zarr", whole)

    class Cut(ChangedSamples):
        def __getitem__(self, index):
            if index == 2:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    with pytest.raises(KeyboardInterrupt):
        write_samples(tmp_path / "cut.zarr", Cut(SampleFile(source), OFFSET, seed=9))
    again = ChangedSamples(SampleFile(source), OFFSET, seed=9)
    assert write_samples(tmp_path / "cut.zarr", again) == 4
    assert again.log.samples == 3  # the last one is compared, the rest made
    assert SampleFile(tmp_path / "cut.zarr").digest == SampleFile(tmp_path / "whole.zarr").digest
    assert write_samples(tmp_path / "cut.zarr", again) == 4
    digests = {whole.digest, ChangedSamples(SampleFile(source), OFFSET, seed=8).digest}
    digests |= {ChangedSamples(SampleFile(source), STATISTICAL, seed=9).digest}
    digests |= {ChangedSamples(SampleFile(source), OFFSET, seed=9, land=Land(None), land_name="b").digest}
    assert len(digests) == 4
    assert ChangedSamples(SampleFile(source), OFFSET, seed=9, land=Land(None)).digest == ""
    assert ChangedSamples(list(planned), OFFSET, seed=9).digest == ""


def test_changed_published_record_is_written_whole(shared, tmp_path):
    sample = sample_of_record(next(read_raw(shared / "reference/sar/raw.tfrecord.GZIP")))
    changed = change_sample(sample, Recipe(kind="statistical", count=(3, 3)), seed=4)
    write_raw(tmp_path / "a", [record_of_sample(changed)], "none")
    again = sample_of_record(next(read_raw(tmp_path / "a")), name=sample.name)
    for name in ("target", "changed", "change_mask", "superpixels"):
        np.testing.assert_array_equal(getattr(again, name), getattr(changed, name))
    assert again.takes == sample.takes and len(again.truth) == 3
    for one, other in zip(again.truth, changed.truth, strict=True):
        assert one["pixels"] == other["pixels"]
        np.testing.assert_allclose(one["strength"], other["strength"], atol=1e-4)
    labels = changed.superpixels
    for number in np.unique(labels[changed.change_mask > 0]):
        assert (changed.change_mask[labels == number] > 0).all()


def test_newer_files_are_still_refused(tmp_path):
    write_samples(tmp_path / "a.zarr", [maker.sample_of(0)])
    document = read_json(tmp_path / "a.zarr" / "zarr.json")
    document["attributes"]["version"] = 99
    write_json(tmp_path / "a.zarr" / "zarr.json", document)
    with pytest.raises(InputError, match="upgrade"):
        SampleFile(tmp_path / "a.zarr")
