"""Synthetic labels of a cube: equal to the obvious way, whatever the blocks; killed, grown, refused."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr

from terradelta.cube import open_cube
from terradelta.cube.locking import exclusive
from terradelta.errors import ConflictError, CubeError, InputError, LockedError
from terradelta.urban.labels import mean_frame
from terradelta.urban.labels.series import recent_image, synthetic_labels
from terradelta.urban.labels.store import labelled_stack, open_labels
from terradelta.urban.stack import Stack
from terradelta.windows import time_windows

PLACES = Path(__file__).with_name("label_places.py")


@pytest.fixture(scope="session")
def places() -> ModuleType:
    spec = importlib.util.spec_from_file_location("label_places", PLACES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cube(places: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    return open_cube(places.fill(tmp_path_factory.mktemp("labels") / "place.zarr", range(60))).load()


def _labels(places: ModuleType, cube: xr.DataTree, store: Path, **more: Any) -> xr.Dataset:
    return synthetic_labels(cube, places.ERA, store, **{**places.SETTINGS, **more})


@pytest.fixture(scope="session")
def undisturbed(places: ModuleType, cube: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "labels.zarr"
    _labels(places, cube, path, memory=places.SMALL)
    return path


def _files(store: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(store)): file.read_bytes() for file in sorted(store.rglob("*")) if file.is_file()
    }


# what comes out


@pytest.mark.parametrize("as_published", [False, True])
def test_blocks_give_what_whole_arrays_give(
    places: ModuleType, cube: xr.DataTree, tmp_path: Path, as_published: bool
) -> None:
    rule = places.PUBLISHED if as_published else places.RULE
    wanted, betas = places.plain_labels(cube, rule, 4)
    assert 0.01 < (wanted > 0).mean() < 0.9
    ways: dict[int, dict[str, Any]] = {256: {}, 64: {"workers": 2}, 32: {"memory": places.SMALL}}
    for core, way in ways.items():
        labels = _labels(places, cube, tmp_path / f"{core}.zarr", rule=rule, stride=4, **way)
        assert labels.attrs["core"] == core
        np.testing.assert_allclose(labels["label"].values, wanted, atol=1e-6)
        np.testing.assert_allclose(labels.attrs["settings"]["betas"], betas, rtol=1e-12)


def test_period_and_step_are_kept_and_give_the_same_frames(
    places: ModuleType, cube: xr.DataTree, tmp_path: Path
) -> None:
    period: dict[str, Any] = {"start": "2020-01-10", "end": "2020-04-14", "step": np.timedelta64(36, "h")}
    rule = replace(places.RULE, significance=0.5)
    wanted, _ = places.plain_labels(cube, rule, 3, **period)
    labels = _labels(places, cube, tmp_path / "labels.zarr", rule=rule, **period)
    np.testing.assert_allclose(labels["label"].values, wanted, atol=1e-6)
    stack = labelled_stack(cube, labels, places.ERA)
    np.testing.assert_array_equal(stack.times, Stack.of(cube, places.ERA, **period).times)
    windows = time_windows(stack.times, length=places.ERA.window, stride=3, fewest=4, most=20, triples=True)
    np.testing.assert_array_equal(stack.times[[w.start for w in windows]], labels["start"])
    np.testing.assert_array_equal(stack.times[[w.stop - 1 for w in windows]], labels["end"])
    np.testing.assert_array_equal([len(w) for w in windows], labels["count"])


def test_never_observed_pixels_have_label_0_and_no_part_in_beta(places: ModuleType, tmp_path: Path) -> None:
    def hidden(number: int) -> Any:
        image = places.acquisition(number)
        return replace(image, clear=image.clear & (np.arange(75) < 60)) if number % 3 == 1 else image

    whole, part = (tmp_path / f"{name}.zarr" for name in ("whole", "part"))
    places.create_cube(whole, places.GRID)
    places.append_all(whole, map(hidden, range(48)))
    places.create_cube(part, places.GRID[:, :60])
    places.append_all(part, (_left(hidden(number)) for number in range(48)))
    found = [_labels(places, open_cube(path), path.with_suffix(".labels")) for path in (whole, part)]
    assert (found[0]["label"][:, :, 60:] == 0).all()
    np.testing.assert_allclose(*(each.attrs["betas"] for each in found), rtol=1e-12)
    np.testing.assert_allclose(found[0]["label"][:, :, :60], found[1]["label"], atol=1e-6)


def _left(image: Any) -> Any:
    if hasattr(image, "clear"):
        return replace(image, clear=image.clear[:, :60], reflectance=image.reflectance[:, :, :60])
    return replace(image, backscatter=image.backscatter[:, :, :60])


def test_shift_from_the_data(places: ModuleType, cube: xr.DataTree, tmp_path: Path) -> None:
    fixed = _labels(places, cube, tmp_path / "fixed.zarr")
    suggested = fixed.attrs["settings"]["suggested_shift"]
    assert 0 < suggested < 1
    labels = _labels(places, cube, tmp_path / "suggested.zarr", shift="suggest")
    assert labels.attrs["settings"]["rule"]["shift"] == suggested
    wanted, _ = places.plain_labels(cube, replace(places.RULE, shift=suggested), 3)
    np.testing.assert_allclose(labels["label"].values, wanted, atol=1e-6)


def test_sample_of_the_last_image_is_every_nth_pixel(places: ModuleType, cube: xr.DataTree) -> None:
    stack = Stack.of(cube, places.ERA)
    whole = recent_image(stack, (2, 0))
    frames = np.stack([frame[4:].copy() for frame in stack.frames(slice(0, 60), slice(0, 75))])
    np.testing.assert_allclose(whole, mean_frame(frames)[[2, 0]], rtol=1e-6)
    for memory in (2 * 10**9, places.SMALL):
        few = recent_image(stack, (2, 0), side=25, memory=memory)
        np.testing.assert_array_equal(few, whole[:, ::3, ::3])


# killed, grown, refused


@pytest.fixture(scope="module")
def killed() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(PLACES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield server
        server.stdin.close()


def _ends(server: subprocess.Popen[str], **task: Any) -> int:
    server.stdin.write(json.dumps(task) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def test_killed_at_any_file_the_same_call_completes_it(
    places: ModuleType, cube: xr.DataTree, undisturbed: Path, tmp_path: Path, killed: subprocess.Popen[str]
) -> None:
    source, wanted = cube.encoding["source"], _files(undisturbed)
    assert _ends(killed, cube=source, store=str(tmp_path / "count")) == 0
    files = int((tmp_path / "count.count").read_text())
    assert files > 40
    for number in range(0, files, 9):
        store = tmp_path / f"{number}.zarr"
        assert _ends(killed, cube=source, store=str(store), die_at=number, after=number % 2) == -9
        with pytest.raises(CubeError, match=r"holds no synthetic labels|not finished yet"):
            open_labels(store)
        _labels(places, cube, store, memory=places.SMALL)
        assert _files(store) == wanted, f"killed at file {number}"


def test_damaged_sums_are_summed_again(places: ModuleType, cube: xr.DataTree, tmp_path: Path) -> None:
    store = tmp_path / "labels.zarr"

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("terradelta.urban.labels.store.LabelStore.settle", stopped)
        _labels(places, cube, store, memory=places.SMALL)
    sums = sorted((store / "sums").glob("*.npy"))
    sums[0].write_bytes(b"")
    sums[1].write_bytes(sums[1].read_bytes()[:90])
    labels = _labels(places, cube, store, memory=places.SMALL)
    wanted, betas = places.plain_labels(cube, places.RULE, 3)
    np.testing.assert_allclose(labels.attrs["betas"], betas, rtol=1e-12)
    np.testing.assert_allclose(labels["label"].values, wanted, atol=1e-6)


def test_complete_labels_are_not_made_again(
    places: ModuleType, cube: xr.DataTree, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(undisturbed)
    monkeypatch.setattr("terradelta.urban.labels.series.span_means", None)
    _labels(places, cube, undisturbed, memory=places.SMALL, workers=2)
    assert _files(undisturbed) == before


def test_grown_cubes_label_new_windows_only(places: ModuleType, tmp_path: Path) -> None:
    path = places.fill(tmp_path / "place.zarr", range(48))
    first = _labels(places, open_cube(path), tmp_path / "labels.zarr", shift="suggest")
    told: list[int] = []

    def progress(label: str, total: int) -> Any:
        told.append(total)
        return _Silent()

    grown = open_cube(places.fill(path, range(48, 60)))
    labels = _labels(places, grown, tmp_path / "labels.zarr", shift="suggest", progress=progress)
    shift = first.attrs["shift"]
    assert labels.attrs["shift"] == shift
    wanted, betas = places.plain_labels(grown, replace(places.RULE, shift=shift), 3)
    np.testing.assert_allclose(labels["label"].values, wanted, atol=1e-6)
    np.testing.assert_allclose(labels.attrs["betas"], betas, rtol=1e-12)
    assert 0 < told[0] < len(wanted)


class _Silent:
    def __enter__(self) -> Any:
        return lambda _: None

    def __exit__(self, *error: object) -> None:
        return None


def test_labels_of_other_settings_are_refused_by_name(
    places: ModuleType, cube: xr.DataTree, tmp_path: Path
) -> None:
    store = tmp_path / "labels.zarr"
    _labels(places, cube, store)
    with pytest.raises(
        ConflictError, match=r"differ in gain \(3 there, 5 now\), shift \(0.25 there, 0.5 now\)"
    ):
        _labels(places, cube, store, rule=replace(places.RULE, gain=5, shift=0.5))
    with pytest.raises(ConflictError, match=r"differ in stride \(3 there, 4 now\)"):
        _labels(places, cube, store, stride=4)
    with exclusive(store), pytest.raises(LockedError):
        _labels(places, cube, store)
    labels = _labels(places, cube, store, stride=4, overwrite=True)
    wanted, _ = places.plain_labels(cube, places.RULE, 4)
    np.testing.assert_allclose(labels["label"].values, wanted, atol=1e-6)


def test_an_error_in_one_block_ends_all(
    places: ModuleType, cube: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise CubeError("an image is gone")

    with monkeypatch.context() as patched:
        patched.setattr("terradelta.urban.labels.series.window_activity", broken)
        with pytest.raises(CubeError, match="an image is gone"):
            _labels(places, cube, tmp_path / "labels.zarr", workers=2)
    labels = _labels(places, cube, tmp_path / "labels.zarr", workers=2)
    np.testing.assert_allclose(
        labels["label"].values, places.plain_labels(cube, places.RULE, 3)[0], atol=1e-6
    )


def test_bad_input_is_told_in_one_line(places: ModuleType, cube: xr.DataTree, tmp_path: Path) -> None:
    def refused(match: str, tree: xr.DataTree = cube, **more: Any) -> None:
        with pytest.raises(InputError, match=match) as error:
            _labels(places, tree, tmp_path / "labels.zarr", **more)
        assert "\n" not in str(error.value)

    refused(r"there are 20 observations in 37 days, and a window of 24 days needs 4", end="2020-02-10")
    refused("the emptiest of the three has 2", step=np.timedelta64(8, "D"))
    refused("starts at every 60th observation; give a smaller stride", stride=60)
    refused("stride is 0; give 1 or more", stride=0)
    refused("workers is 'all'; give a whole number", workers="all")
    refused("memory is 1 MiB, but 1 blocks of 1024 pixels need", memory=2**20)
    groups = {name: node.to_dataset() for name, node in cube.children.items()}
    refused("no optical images; .* add some", xr.DataTree.from_dict({"sar": groups["sar"]}))
    refused("no radar images; .* add some", xr.DataTree.from_dict({"optical": groups["optical"]}))
    assert not (tmp_path / "labels.zarr").exists()
    with pytest.raises(CubeError, match="holds no synthetic labels"):
        open_labels(tmp_path)
