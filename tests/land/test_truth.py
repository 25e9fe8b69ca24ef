"""The truth of a simulated place: land cover that changes with time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from terradelta.cube import geobox_of, write_cube
from terradelta.errors import CubeError
from terradelta.land import CLASSES, LayerLand, TruthLand
from terradelta.land.radar import acquisitions
from terradelta.land.truth import BECOMES
from terradelta.simulate import KINDS, place

DAY = np.timedelta64(1, "D")


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return place(seed=2, size=96, years=1.2, changes=4, kinds=("clear_cut", "flood", "building", "harvest"))


def test_every_kind_of_change_has_a_class() -> None:
    assert set(BECOMES) == set(KINDS) and set(BECOMES.values()) <= set(CLASSES)


def slow_numbers(tree: xr.DataTree, time: np.datetime64) -> np.ndarray:
    numbers = LayerLand(tree).numbers.copy()
    truth, table = tree["truth"], tree["truth/changes"]
    for number in table["change"].values:
        row = table.sel(change=number)
        begun, ended = row["date"].values <= time.astype("datetime64[D]"), row["until"].values
        if begun and (np.isnat(ended) or time.astype("datetime64[D]") < ended):
            numbers[truth["label"].values == number] = CLASSES.index(BECOMES[str(row["kind"].values)]) + 1
    return numbers


def test_classes_follow_the_changes(tree: xr.DataTree) -> None:
    land = TruthLand(tree)
    start = LayerLand(tree).numbers
    assert np.array_equal(land.numbers, start)
    times = [one.time for one in acquisitions(tree)]
    seen = [np.array_equal(land.at(time).numbers, start) for time in times]
    assert seen[0] and not seen[-1]
    for time in (*times[::9], times[-1]):
        now = land.at(time).numbers
        assert np.array_equal(now, slow_numbers(tree, np.datetime64(time)))


def test_a_felled_forest_is_none_any_more(tree: xr.DataTree) -> None:
    table = tree["truth/changes"].to_dataset()
    felled = table.sel(change=table["change"][table["kind"] == "clear_cut"].values[0])
    mask = tree["truth"]["label"].values == int(felled["change"])
    grid, date = geobox_of(tree), felled["date"].values
    before, after = (TruthLand(tree, date + shift).forest(grid) for shift in (-DAY, DAY))
    assert before[mask].all() and not after[mask].any()
    x, y = grid.affine @ (np.argwhere(mask).mean(axis=0)[::-1] + 0.5)
    found = TruthLand(tree, date + DAY).nearest(x, y, 1, ["open"])
    assert found.geometries[0].area == pytest.approx(mask.sum() * 400)
    assert TruthLand(tree, date - DAY).nearest(x, y, 1, ["forest"]).distances[0] == 0


def test_pixels_of_what_changed_are_left_out(tree: xr.DataTree) -> None:
    land, grid = TruthLand(tree), geobox_of(tree)
    x, y = grid.affine @ (48.4, 48.4)
    forest = land.nearest(x, y, 10_000, ["forest"])
    images = acquisitions(tree)
    for index in (0, len(images) - 1):
        still = land.at(images[index]).numbers == 1
        wanted = tree["sar"]["backscatter"].values[index][:, still & land.forest(grid)]
        assert np.array_equal(land.pixels(forest, images[index]), wanted)
    assert still.sum() < land.forest(grid).sum()
    # polygons know nothing of it
    assert LayerLand(tree).pixels(forest, images[index]).shape[1] == land.forest(grid).sum()


def test_works_are_bare_soil_until_they_end() -> None:
    tree = place(seed=3, size=96, years=2, changes=1, kinds=("building",), works_days=60)
    mask, table = tree["truth"]["changed"].values == 1, tree["truth/changes"]
    date = table["date"].values[0]
    for days, name in ((1, "open"), (59, "open"), (61, "urban")):
        now = TruthLand(tree, date + days * DAY).numbers[mask]
        assert {CLASSES[one - 1] for one in now} == {name}


def test_a_place_on_disk_keeps_its_truth(tree: xr.DataTree, tmp_path: Path) -> None:
    ground = {name: tree[name].to_dataset() for name in ("static", "truth")}
    write_cube(xr.DataTree.from_dict(ground), tmp_path / "place.zarr")
    time = acquisitions(tree)[-1].time
    stored = TruthLand(tmp_path / "place.zarr", time)
    assert np.array_equal(stored.numbers, TruthLand(tree, time).numbers)


def test_unknown_kinds_are_refused(tree: xr.DataTree) -> None:
    other = tree.copy(deep=True)
    other["truth"]["kind"].attrs["flag_meanings"] = "none clear_cut building volcano"
    with pytest.raises(CubeError, match=r"codes \[3, 5\] of unknown changes"):
        _ = TruthLand(other, "2100-01-01").numbers
