from __future__ import annotations

import logging
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely
import typer
from typer.testing import CliRunner

from terradelta.cli import simulate
from terradelta.cli.options import add_verb
from terradelta.cube import open_cube, write_cube, write_static
from terradelta.cube.files import remove_tree
from terradelta.errors import ConfigError, ConflictError, InputError
from terradelta.expected.samples.files import SampleFile, write_samples
from terradelta.expected.samples.planned import PlannedSamples
from terradelta.expected.samples.plans import plan_samples
from terradelta.land import CLASSES, LayerLand
from terradelta.sar import to_db
from terradelta.simulate import changed_at, place
from terradelta.simulate.injected import Recipe, change_share, inject_series
from terradelta.tfrecord import read_raw
from terradelta.workflows.config import load_settings
from terradelta.workflows.config.simulate import SimulateChangeSettings, SimulatePlaceSettings
from terradelta.workflows.exports import export_samples
from terradelta.workflows.simulate import run_change, run_place
from terradelta.workflows.simulate.cubes import change_cube
from terradelta.workflows.simulate.recipes import ChosenLand, choose_land
from terradelta.workflows.simulate.truth import INJECTED_KINDS, read_table, write_table

DATE, UNTIL = "2020-01-20", "2020-02-03"
PLACE = {"seed": 5, "size": 64, "years": 0.12, "optical_days": 0}


@pytest.fixture(autouse=True)
def _heard(monkeypatch):
    monkeypatch.setattr(logging.getLogger("terradelta"), "propagate", True)


@pytest.fixture(scope="module")
def memory():
    tree = place(**PLACE, changes=0)
    images = tree["sar"]["backscatter"].values
    images[3, :, 10:14] = np.nan
    images[:, :, :, 20:22] = images[:, :, :, 20:21]  # superpixels of two columns
    return tree


@pytest.fixture(scope="module")
def source(memory, tmp_path_factory):
    path = tmp_path_factory.mktemp("simulate") / "place.zarr"
    write_cube(memory, path)
    return path


@pytest.fixture
def told(source, tmp_path):
    def make(**given):
        known = {
            "source": source,
            "out": tmp_path / "new.zarr",
            "box": 20,
            "date": DATE,
            "most": 2,
            "seed": 1,
        }
        return load_settings(SimulateChangeSettings, given=known | given)

    return make


def images_of(path):
    return open_cube(path)["sar"]["backscatter"].values


def layers_of(path):
    return open_cube(path)["truth"].to_dataset().load()


def open_pixels(tree, image, forest):
    decibel = to_db(tree["sar"]["backscatter"].values[image])
    return decibel[:, ~forest & np.isfinite(decibel).all(axis=0)]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("offset", {"offset": "-2.5,-3"}),
        ("offset", {"gradual_days": 30, "superpixels": "published"}),
        ("statistical", {"until": UNTIL}),
        ("gaussian", {"gaussian_shift": -1.5, "superpixels": "none"}),
        ("texture", {}),
    ],
)
def test_cube_equals_the_series_changed_at_once(told, memory, source, kind, more, tmp_path):
    forest = memory["static"]["forest"].values == 1
    if kind == "statistical":  # without classes all other pixels are open land
        lean = tmp_path / "lean.zarr"
        write_cube(memory, lean)
        remove_tree(lean / "static" / "land_cover")
        more = {**more, "source": lean}
    settings = told(kind=kind, **more)
    change_cube(settings)
    sar = memory["sar"].to_dataset()
    before, times = sar["backscatter"].values, sar["time"].values
    single = [
        values[0] if len(values) == 1 else tuple(values)
        for values in (settings.offset, settings.gaussian_shift)
    ]
    recipe = Recipe(kind=kind, offset=single[0], gaussian_shift=single[1], count=(2, 2), box=20,
                    superpixels=settings.superpixels)  # fmt: skip
    known = inject_series(
        to_db(before), times, forest, recipe, seed=1, date=DATE, until=settings.until,
        gradual_days=settings.gradual_days, targets=lambda image: open_pixels(memory, image, forest),
    )  # fmt: skip
    after = images_of(settings.out)
    np.testing.assert_allclose(to_db(after), known.images, atol=2e-5)
    still = np.broadcast_to(known.mask == 0, after.shape).copy()
    still[known.share == 0] = True
    np.testing.assert_array_equal(after[still], before[still])
    assert known.mask.any() and not still.all()
    layers, table = layers_of(settings.out), read_table(settings.out)
    np.testing.assert_array_equal(layers["label"], known.mask)
    assert (table["kind"].values == kind).all() and table.sizes["change"] == 2
    np.testing.assert_allclose(table["strength"], [change.change for change in known.changes], atol=1e-4)


@pytest.fixture(scope="module")
def changed(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("changed") / "new.zarr"
    given = {"source": source, "out": out, "box": 20, "most": 2, "seed": 1, "gradual_days": 7}
    change_cube(load_settings(SimulateChangeSettings, given=given | {"date": DATE, "until": UNTIL}))
    return out


def test_truth_is_that_of_simulated_places(changed, memory):
    layers, table = layers_of(changed), read_table(changed)
    reference = memory["truth"].to_dataset()
    for name in reference.data_vars:
        assert layers[name].dtype == reference[name].dtype and layers[name].dims == ("y", "x")
    inside = layers["changed"].values == 1
    assert (changed_at(layers, DATE) == inside).all() and inside.any()
    assert not changed_at(layers, "2020-01-19").any() and not changed_at(layers, UNTIL).any()
    assert set(np.unique(layers["kind"])) == {0, INJECTED_KINDS["offset"]}
    assert layers["kind"].attrs["flag_meanings"].split()[-4:] == [*INJECTED_KINDS]
    np.testing.assert_allclose(layers["strength"].values[inside], -2.5, atol=1e-5)
    dates = {name: str(table[name].values[0])[:10] for name in ("date", "until", "finished")}
    assert dates == {"date": DATE, "until": UNTIL, "finished": "2020-01-27"}
    assert table["area"].sum() == 400 * inside.sum()
    assert str(table["outline"].values[0]).startswith(("POLYGON", "MULTIPOLYGON"))


def test_all_else_is_copied(changed, memory):
    old, new = memory, open_cube(changed)
    for name in ("dem", "forest", "land_cover"):
        np.testing.assert_array_equal(new["static"][name], old["static"][name])
    np.testing.assert_array_equal(new["weather"]["temperature"], old["weather"]["temperature"])
    for name in ("time", "platform", "relative_orbit", "incidence_angle", "heading", "source_id"):
        np.testing.assert_array_equal(new["sar"][name], old["sar"][name])


class KilledError(Exception):
    """In place of a signal."""


def test_killed_run_is_completed_by_the_same_call(told, tmp_path):
    class Step:
        def __init__(self, *_):
            self.done = 0

        def __enter__(self):
            return self.advance

        def advance(self, _):
            self.done += 1
            if self.done > 9:
                raise KilledError

        def __exit__(self, *_):
            return None

    settings, whole = told(kind="gaussian"), told(kind="gaussian", out=tmp_path / "whole.zarr")
    with pytest.raises(KilledError):
        change_cube(settings, Step)
    assert open_cube(settings.out)["sar"].sizes["time"] < open_cube(settings.source)["sar"].sizes["time"]
    assert "changed" not in open_cube(settings.out)["truth"]
    with pytest.raises(ConflictError, match=r"other changes .*seed 1, now 2"):
        change_cube(told(kind="gaussian", seed=2))
    change_cube(settings)
    change_cube(whole)
    np.testing.assert_array_equal(images_of(settings.out), images_of(whole.out))
    assert layers_of(settings.out).identical(layers_of(whole.out))
    assert read_table(settings.out).identical(read_table(whole.out))
    times = [(folder / "changed" / "zarr.json").stat().st_mtime_ns for folder in (settings.out / "truth",)]
    change_cube(settings)
    assert times == [(settings.out / "truth/changed/zarr.json").stat().st_mtime_ns]
    assert open_cube(settings.out)["sar"].sizes["time"] == open_cube(settings.source)["sar"].sizes["time"]


def test_changes_that_are_there_already_are_kept(told, tmp_path):
    path = tmp_path / "busy.zarr"
    run_place(load_settings(SimulatePlaceSettings, given={**PLACE, "changes": 2, "out": path}))
    before, table = layers_of(path), read_table(path)
    assert table.sizes["change"] == 2
    settings = told(source=path)
    change_cube(settings)
    after, both = layers_of(settings.out), read_table(settings.out)
    old = before["changed"].values == 1
    for name in before.data_vars:
        np.testing.assert_array_equal(after[name].values[old], before[name].values[old])
    assert both["change"].values.tolist() == [1, 2, 3, 4]
    assert set(np.unique(after["label"].values[~old])) == {0, 3, 4}
    np.testing.assert_array_equal(both["strength"][:2], table["strength"])
    step = images_of(settings.out) != images_of(path)
    assert step.any() and not step[..., old].any()


def test_open_land_of_the_cube_is_what_forest_becomes(told, memory, source):
    settings = told(kind="statistical", areas=10_000, superpixels="none")
    done = change_cube(settings)
    open_land = np.isin(memory["static"]["land_cover"].values, [20, 30, 40, 60, 80, 90])
    forest = memory["static"]["forest"].values == 1
    image = int(np.flatnonzero(done.images.share)[-1])
    decibel, after = to_db(images_of(source)[image]), to_db(images_of(settings.out)[image])
    inside = done.images.mask > 0
    for band in range(2):
        share = np.array([np.mean(decibel[band][forest] <= value) for value in decibel[band][inside]])
        wanted = np.quantile(decibel[band][open_land], np.clip(share, 0, 1))
        assert np.median(np.abs(after[band][inside] - wanted)) < 0.1


def test_land_of_a_file_equals_that_of_the_layer(told, memory, tmp_path):
    polygons, classes = zip(*LayerLand(memory).polygons(), strict=True)
    codes = {name: number for number, name in enumerate(CLASSES)}
    table = {"code": [codes[name] for name in classes], "geometry": polygons}
    gpd.GeoDataFrame(table, crs="EPSG:32631").to_file(tmp_path / "land.gpkg")
    more = {"kind": "statistical", "areas": 4, "out": tmp_path / "file.zarr"}
    pairs = ",".join(f"{number}={name}" for name, number in codes.items())
    change_cube(told(kind="statistical", areas=4))
    change_cube(told(land=tmp_path / "land.gpkg", class_column="code", land_classes=pairs, **more))
    np.testing.assert_array_equal(images_of(tmp_path / "file.zarr"), images_of(told().out))
    with pytest.raises(ConfigError, match="write VALUE=CLASS"):
        told(land_classes="forest")


@pytest.mark.parametrize(
    ("url", "told_url"), [("postgresql://x/y", "postgresql://x/y"), ("environment", None)]
)
def test_land_of_a_database(told, memory, monkeypatch, url, told_url):
    asked = []

    class Database(LayerLand):
        def __init__(self, database, *, place, dataset):
            asked.append((database, place, dataset))
            super().__init__(memory)

    monkeypatch.setattr("terradelta.land.postgis.PostgisLand", Database)
    chosen = choose_land(told(database=url, database_place="liege", database_land="topo"), None, None)
    assert asked == [(told_url, "liege", "topo")]
    assert isinstance(chosen.source, Database) and chosen.name == "database liege topo"


def test_optical_images_are_copied_with_a_word(told, tmp_path, caplog):
    path = tmp_path / "seen.zarr"
    write_cube(place(seed=6, size=32, years=0.1, changes=0, optical_days=10), path)
    change_cube(told(source=path))
    old, new = open_cube(path)["optical"], open_cube(told().out)["optical"]
    assert old.sizes["time"] > 1
    np.testing.assert_array_equal(new["reflectance"], old["reflectance"])
    np.testing.assert_array_equal(new["clear"], old["clear"])
    assert "optical images are copied as they are" in caplog.text


def test_land_without_the_radar_of_samples_is_refused(samples, told, tmp_path):
    with pytest.raises(InputError, match=r"name the cube .* with radar"):
        run_change(told(source=samples, land=tmp_path / "land.gpkg"))


def test_no_forest_gives_a_copy_and_a_word(told, memory, tmp_path, caplog):
    path = tmp_path / "bare.zarr"
    write_cube(memory, path)
    write_static(path, "forest", np.zeros((64, 64), np.uint8), overwrite=True)
    settings = told(source=path)
    lines = run_change(settings)
    assert lines[0].startswith("changes: 0 | pixels: 0 | mean change: none")
    assert "no forest in the scene" in caplog.text
    np.testing.assert_array_equal(images_of(settings.out), images_of(path))
    assert read_table(settings.out).sizes["change"] == 0 and not layers_of(settings.out)["changed"].any()
    write_static(path, "clearing", np.ones((64, 64), np.uint8))
    assert run_change(told(source=path, inside="clearing", out=tmp_path / "c.zarr"))[0].startswith(
        "changes: 2"
    )


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"source": "nothing.zarr"}, InputError, "nothing.zarr does not exist"),
        ({"date": "2022-01-01"}, InputError, "no image is taken from 2022-01-01"),
        ({"date": "2020-02-02", "until": "2020-02-01"}, ConfigError, "until is 2020-02-01"),
        ({"inside": "mire"}, InputError, "no layer mire"),
        ({"offset": "1,2,3"}, InputError, "offset has 3 values, the image 2 bands"),
        ({"fewest": 5}, ConfigError, "fewest is 5 and most 2"),
        ({"land": "a.gpkg", "database": "postgresql://x"}, ConfigError, "land and database"),
        ({"knd": "offset"}, ConfigError, "did you mean 'kind'"),
    ],
)
def test_what_cannot_be_done_is_refused(told, given, error, words):
    with pytest.raises(error, match=words):
        run_change(told(**given))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"offset": "1,2,3"}, "offset has 3 values"),
        ({"inside": "mire"}, "no layer mire; choose inside from .*forest"),
        ({"out": "new.tif"}, r"new.tif ends in .tif, .* new.zarr"),
        ({"kind": "statistical", "land": "wood.gpkg"}, "wood.gpkg has no area of mire"),
    ],
)
def test_what_is_refused_leaves_nothing(told, tmp_path, monkeypatch, given, words):
    monkeypatch.chdir(tmp_path)
    wood = {"class": ["forest"], "geometry": [shapely.box(680_000, 5_611_000, 681_000, 5_612_000)]}
    gpd.GeoDataFrame(wood, crs="EPSG:32631").to_file("wood.gpkg")
    settings = told(**given)
    with pytest.raises(InputError, match=words):
        run_change(settings)
    assert not settings.out.exists()


def test_land_that_fails_in_the_images_leaves_nothing(told, memory, monkeypatch):
    class Lost(LayerLand):
        def pixels(self, areas, acquisition):
            raise InputError("2 places; name one")

    chosen = ChosenLand(Lost(memory), "lost")
    monkeypatch.setattr("terradelta.workflows.simulate.cubes.choose_land", lambda *_: chosen)
    with pytest.raises(InputError, match="name one"):
        change_cube(told(kind="statistical"))
    assert not told().out.exists()


def test_what_is_there_is_told_with_its_cure(told, source, samples, tmp_path):
    copied = tmp_path / "copied.zarr"
    write_cube(place(**PLACE, changes=0), copied)
    with pytest.raises(ConflictError, match="no copy with changes; choose another path"):
        change_cube(told(out=copied))
    settings = told()
    change_cube(settings)
    with pytest.raises(ConflictError, match=r"seed 1, now 2\); choose another path"):
        change_cube(told(seed=2))
    remove_tree(settings.out / "truth" / "changed")
    with pytest.raises(ConflictError, match="not whole: remove it"):
        change_cube(told(seed=2))
    folder = tmp_path / "results"
    folder.mkdir()
    with pytest.raises(InputError, match="results is a folder, but neither a cube nor"):
        run_change(told(source=folder))
    with pytest.raises(InputError, match=r"new.tif ends in .tif; name a file such as x.zarr"):
        run_change(told(source=samples, out=tmp_path / "new.tif"))


def test_all_groups_have_one_grid(changed):
    tree = open_cube(changed)
    assert tree["truth"]["x"].attrs == tree["static"]["x"].attrs


def test_cube_is_not_written_over_itself_or_another(told, source):
    with pytest.raises(InputError, match="itself"):
        run_change(told(out=source))
    with pytest.raises(ConflictError):
        run_change(
            told(source=source, out=source.parent / "other.zarr", **_other(source.parent / "other.zarr"))
        )


def _other(path):
    write_cube(place(seed=6, size=64, years=0.1, changes=0, optical_days=0), path)
    return {}


def test_empty_table_is_kept(source):
    table = read_table(source)
    assert table is None
    tree = place(seed=6, size=64, years=0.05, changes=0, optical_days=0)
    empty = tree["truth"]["changes"].to_dataset(inherit=False)
    write_table(source, empty)
    assert read_table(source).sizes["change"] == 0 and set(read_table(source).data_vars) == set(
        empty.data_vars
    )
    remove_tree(source / "truth" / "changes")


# samples


@pytest.fixture(scope="module")
def samples(memory, tmp_path_factory):
    path = tmp_path_factory.mktemp("samples") / "samples.zarr"
    write_samples(
        path, PlannedSamples(memory, plan_samples(memory, count=3, size=48, seed=1)), precision="float32"
    )
    return path


def test_samples_to_zarr_and_to_tfrecord(samples, told, tmp_path):
    lines = run_change(told(source=samples, fewest=1, precision="float32"))
    file = SampleFile(tmp_path / "new.zarr")
    count = sum(len(truth) for truth in file.truths)
    pixels = sum(int((sample.change_mask > 0).sum()) for sample in file)
    assert lines[0] == (
        f"changes: {count} | pixels: {pixels:,} | mean change: VV -2.50 dB, VH -2.50 dB | in 3 of 3 samples"
    )
    assert (tmp_path / "new.png").read_bytes().startswith(b"\x89PNG")
    assert run_change(told(source=samples, fewest=1, precision="float32"))[0] == lines[0]
    for suffix in ("tfrecord.GZIP", "tfrecord"):
        out = tmp_path / f"new.{suffix}"
        assert run_change(told(source=samples, fewest=1, out=out))[0] == lines[0]
        for record, sample in zip(read_raw(out), file, strict=True):
            np.testing.assert_array_equal(record.simulated_change_mask, sample.change_mask)
            np.testing.assert_array_equal(np.moveaxis(record.simulated_change_image, -1, 0), sample.changed)
            np.testing.assert_array_equal(record.img_superpixel_map, sample.superpixels)
            assert record.num_simulated_changes == len(sample.truth)
        with pytest.raises(InputError, match="is there"):
            run_change(told(source=samples, out=out))
    assert (tmp_path / "new.tfrecord").read_bytes()[:2] != b"\x1f\x8b"
    with pytest.raises(ConflictError, match="other samples"):
        run_change(told(source=samples, fewest=1, kind="gaussian"))
    run_change(told(source=samples, fewest=1, kind="gaussian", overwrite=True))


def test_samples_of_tfrecord_and_with_the_land_of_their_cube(samples, source, told, tmp_path):
    export_samples(SampleFile(samples), tmp_path / "in.tfrecord")
    more = {"kind": "statistical", "fewest": 1, "radar": source, "areas": 3, "precision": "float32"}
    run_change(told(source=samples, out=tmp_path / "a.zarr", **more))
    run_change(told(source=tmp_path / "in.tfrecord", out=tmp_path / "b.zarr", **more, overwrite=True))
    one, other = SampleFile(tmp_path / "a.zarr"), SampleFile(tmp_path / "b.zarr")
    assert {change["from"] for truth in (*one.truths, *other.truths) for change in truth} == {
        "3 nearest open areas"
    }
    assert [sample.changed.shape for sample in other] == [(2, 48, 48)] * 3


# the command line


@pytest.fixture
def cli():
    app = typer.Typer()
    add_verb(app, "place", SimulatePlaceSettings, simulate.place, positional=("out",))
    add_verb(app, "change", SimulateChangeSettings, simulate.change, positional=("source", "out"))

    def run(*arguments):
        return CliRunner().invoke(app, [str(one) for one in arguments])

    return run


def test_place_on_the_command_line(cli, tmp_path):
    out = tmp_path / "p.zarr"
    told = ["place", out, "--seed", 5, "--size", 64, "--years", 0.12, "--changes", 1, "--optical-days", 0]
    done = cli(*told, "--without", "crops,noise", "--kinds", "clear_cut")
    assert done.exit_code == 0, done.output
    from terradelta.simulate import Effects

    tree = place(**PLACE, changes=1, effects=Effects().without("crops", "noise"), kinds=("clear_cut",))
    np.testing.assert_array_equal(images_of(out), tree["sar"]["backscatter"].values)
    pixels = int(tree["truth"]["changed"].sum())
    strength = tree["truth"]["changes"]["strength"].values[0]
    line = (
        f"changes: 1 | pixels: {pixels:,} | mean change: VV {strength[0]:+.2f} dB, VH {strength[1]:+.2f} dB"
    )
    assert line in done.output
    assert read_table(out)["kind"].values.tolist() == ["clear_cut"]
    assert cli(*told, "--without", "crops,noise", "--kinds", "clear_cut").exit_code == 0
    for wrong in (["--without", "crop"], ["--only", "speckle", "--without", "noise"], ["--size", 3]):
        assert isinstance(cli("place", tmp_path / "x.zarr", *wrong).exception, InputError)
    assert not (tmp_path / "x.zarr").exists()


def test_only_effects_and_smoothing(tmp_path):
    given = {**PLACE, "changes": 0, "only": "speckle", "smoothing": "refined_lee", "out": tmp_path / "p.zarr"}
    run_place(load_settings(SimulatePlaceSettings, given=given))
    from terradelta.simulate import Effects

    tree = place(**PLACE, changes=0, effects=Effects.only("speckle"), smoothing="refined_lee")
    np.testing.assert_array_equal(images_of(tmp_path / "p.zarr"), tree["sar"]["backscatter"].values)


def test_change_on_the_command_line(cli, source, tmp_path):
    out, picture = tmp_path / "n.zarr", tmp_path / "shown.png"
    done = cli("change", source, out, "--offset", "-3", "--most", 2, "--box", 20, "--picture", picture)
    assert done.exit_code == 0, done.output
    times = open_cube(source)["sar"]["time"].values
    date = np.sort(times)[len(times) // 2].astype("datetime64[D]")
    seen = int(change_share(times, date).sum())
    changed = int(layers_of(out)["changed"].sum())
    assert (
        f"changes: 2 | pixels: {changed:,} | mean change: VV -3.00 dB, VH -3.00 dB | "
        f"seen from {date} in {seen} of {len(times)} images" in done.output
    )
    assert picture.read_bytes().startswith(b"\x89PNG") and Path(picture).stat().st_size > 5000
    help_text = cli("change", "--help").output
    assert "--gradual-days" in help_text and "--database" in help_text
