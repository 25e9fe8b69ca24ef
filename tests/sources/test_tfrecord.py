from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from terradelta.cube import open_cube
from terradelta.errors import ConflictError, SourceError
from terradelta.sources import build_cube, import_into
from terradelta.sources.tfrecord import grid_of, weather_of
from terradelta.tfrecord import write_raw

HERE = Path(__file__).parents[1] / "tfrecord" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("tfrecord_records", HERE)
RECORDS = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(RECORDS)
make = RECORDS.raw_record


@pytest.fixture
def file(tmp_path):
    write_raw(tmp_path / "x.tfrecord.GZIP", [make()])
    return tmp_path / "x.tfrecord.GZIP"


def test_a_record_becomes_a_cube(tmp_path, file):
    record = make()
    report = import_into(tmp_path / "c.zarr", file)
    assert (report.added, report.static) == (5, ("dem", "forest"))
    cube = open_cube(tmp_path / "c.zarr")
    sar = cube["sar"].to_dataset()
    stack = np.concatenate([record.input_image_stack, record.target_image]).reshape(5, 2, 8, 8)
    assert np.allclose(10 * np.log10(sar.backscatter.values), stack, atol=1e-4)
    assert sar.platform.values.tolist() == ["S1A", "S1B", "S1A", "S1B", "S1A"]
    assert sar.orbit_direction.values.tolist() == [
        "ascending",
        "descending",
        "ascending",
        "descending",
        "ascending",
    ]
    assert sar.incidence_angle.values.tolist() == [35.0, 38.5, 41.0, 30.0, 35.5]
    assert str(sar.time.values[-1])[:19] == "2021-06-25T15:30:00"
    assert np.array_equal(cube["static"].dem.values, record.dem_rast)
    assert cube["static"].forest.dtype == np.uint8
    assert import_into(tmp_path / "c.zarr", file).skipped == 5


def test_grid_is_that_of_the_original_in_its_own_projection():
    # middle and corner as the original has them (EPSG:3067)
    record = make(image_location="POINT (62.571359 25.661839)", size=512, change=False)
    grid = grid_of(record, "EPSG:3067")
    assert np.allclose(grid.affine[:6], (5.859375, 0, 429730.428, 0, -5.859375, 6940045.59), atol=0.01)
    assert grid_of(record).crs.epsg == 32635
    assert grid_of(make(image_location="POINT (-33.9 18.4)")).crs.epsg == 32734


def test_weather_of_the_nearest_acquisition_counts():
    record = make()  # acquisitions on the 1st, 3rd, 10th, 20th and 25th; rain of each day and three before
    weather, notes = weather_of(record)
    rain = {
        str(day)[:10]: value
        for day, value in zip(weather.day.values, weather.precipitation.values, strict=True)
    }
    assert rain["2021-06-01"] == 0 and rain["2021-06-03"] == 4  # not what the 3rd says of the 1st: 6
    assert rain["2021-05-31"] == 1 and rain["2021-06-02"] == 5 and rain["2021-06-25"] == 0.5
    assert len(notes) == 1 and "different precipitation of 2021-05-31, 2021-06-01" in notes[0]
    assert np.isfinite(weather.temperature.values).sum() == 5


def test_one_of_several_records_is_chosen(tmp_path):
    file = tmp_path / "x.tfrecord"
    write_raw(file, [make(1), make(2)])
    with pytest.raises(SourceError, match=r"more than one record.*--record 1"):
        import_into(tmp_path / "c.zarr", file)
    for number in (0, 3):
        with pytest.raises(SourceError, match=f"record {number}"):
            import_into(tmp_path / "c.zarr", file, record=number)
    assert not (tmp_path / "c.zarr").exists()
    build_cube(file, tmp_path / "c.zarr", record=2)
    assert np.array_equal(open_cube(tmp_path / "c.zarr")["static"].dem.values, make(2).dem_rast)
    with pytest.raises(ConflictError):
        build_cube(file, tmp_path / "c.zarr", record=1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_location": "here"}, "no 'POINT"),
        ({"image_location": "POINT (88 10)"}, "beyond the UTM"),
        ({"target_image_start_time": "yesterday"}, "start time is unreadable"),
        ({"target_image_temperature": 280.0}, "cannot be"),
    ],
)
def test_bad_records_are_named(tmp_path, changes, told):
    write_raw(tmp_path / "x.tfrecord", [make(**changes)])
    with pytest.raises(SourceError, match=told):
        import_into(tmp_path / "c.zarr", tmp_path / "x.tfrecord")
    assert not (tmp_path / "c.zarr").exists()


def test_options_that_mean_nothing_here(tmp_path, file, write_tif):
    with pytest.raises(SourceError, match="takes no bounds"):
        build_cube(file, tmp_path / "c.zarr", bounds=(0, 0, 1, 1))
    with pytest.raises(SourceError, match="not in metres"):
        build_cube(file, tmp_path / "c.zarr", crs="EPSG:4326")
    tif = write_tif(tmp_path / "a.tif", np.ones((3, 3), np.float32))
    with pytest.raises(SourceError, match="no TFRecord file"):
        build_cube(tif, tmp_path / "d.zarr", record=1)
