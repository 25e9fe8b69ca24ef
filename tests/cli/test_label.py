"""Synthetic labels as a user types it: results, the same again, and bad input at the door."""

from __future__ import annotations

from pathlib import Path

import pytest

from terradelta.cube import write_cube
from terradelta.simulate import urban_place
from terradelta.urban.labels import open_labels


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("town") / "town.zarr"
    write_cube(urban_place(1, size=48, years=1.6, changes=2, optical_days=10), path)
    return path


def test_labels_picture_and_summary(cli, field, town: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    line = cli("label", town, out, "--shift", "suggest", "--workers", 1).done("the data suggest", "windows")
    labels = open_labels(out)
    suggested = labels.attrs["settings"]["suggested_shift"]
    assert labels.attrs["settings"]["rule"]["shift"] == suggested
    assert f"alpha {suggested:.2f}" in line
    assert 0 <= float(labels["label"].min()) < float(labels["label"].max()) <= 1
    assert (out / "labels.png").read_bytes().startswith(b"\x89PNG")
    before = field.digest(out)
    assert cli("label", town, out, "--shift", "suggest", "--workers", 1).done() == line
    assert field.digest(out) == before
    cli("label", town, out).refused("differ in shift (suggest there, 0.25 now)", "overwrite")
    cli("label", town, out, "--shift", 0.4, "--gain", 9, "--overwrite").done("alpha 0.40")
    assert open_labels(out).attrs["settings"]["rule"]["gain"] == 9


def test_as_published(cli, town: Path, tmp_path: Path) -> None:
    cli("label", town, tmp_path, "--as-published", "--stride", 40, "--workers", 1).done("alpha 0.25")
    rule = open_labels(tmp_path).attrs["settings"]["rule"]
    assert rule["as_published"]
    assert rule["gain"] == 10


def test_bad_input_is_one_line(cli, cube: Path, town: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    cli("label", cube, out).refused("no optical images")
    cli("label", town, out, "--end", "2018-09-01").refused("no window can be labelled", "182 days", "35")
    cli("label", town, out, "--shift", 1.5).refused("shift is '1.5': out of range; give 0 to 1")
    cli("label", town, out, "--shift", "much").refused("shift is 'much': no number")
    cli("label", town, out, "--era", "ers12ls5").refused("B1")
    cli("label", town, out, "--source", "changes.gpkg").refused("method synthetic takes no source")
    cli("label", tmp_path / "nothing.zarr", out).refused("nothing.zarr")
    assert not out.exists()
    out.mkdir()
    (out / "truth.tif").touch()
    cli("label", town, out).refused("holds labels from polygons; choose another folder")
