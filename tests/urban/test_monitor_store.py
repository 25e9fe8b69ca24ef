"""Maps on disk: killed at any moment, grown, refused; always equal to one undisturbed run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from terradelta.cube import geobox_of, open_cube
from terradelta.cube.locking import exclusive
from terradelta.errors import ConflictError, CubeError, InputError, LockedError
from terradelta.urban import ERCNN, Stack, WindowRunner, monitor, open_maps

PLACES = Path(__file__).with_name("urban_places.py")
NAMES = ["mean", "minimum", "maximum", "spread"]


@pytest.fixture(scope="session")
def places() -> ModuleType:
    spec = importlib.util.spec_from_file_location("urban_places", PLACES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cube(places: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    return open_cube(places.fill(tmp_path_factory.mktemp("store") / "place.zarr", range(20)))


@pytest.fixture(scope="session")
def nets(places: ModuleType) -> list[ERCNN]:
    return [places.network(seed) for seed in range(2)]


def _run(places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], store: Path, **more: Any) -> xr.DataArray:
    return monitor(cube, nets, store=store, **{**places.SETTINGS, **more})


@pytest.fixture(scope="session")
def undisturbed(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "maps.zarr"
    _run(places, cube, nets, path)
    return path


def _files(store: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(store)): file.read_bytes() for file in sorted(store.rglob("*")) if file.is_file()
    }


def _same_maps(first: Path | xr.Dataset, second: Path | xr.Dataset, atol: float = 0.0) -> None:
    one, two = (x if isinstance(x, xr.Dataset) else open_maps(x).compute() for x in (first, second))
    assert list(one.data_vars) == list(two.data_vars)
    for name in one.data_vars:
        np.testing.assert_allclose(one[name], two[name], atol=atol, rtol=0)
    for name in ("start", "end", "time", "count"):
        assert (one[name].values == two[name].values).all()


# what is there


def test_store_equals_memory(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], undisturbed: Path
) -> None:
    maps = open_maps(undisturbed)
    assert list(maps.data_vars) == NAMES
    assert geobox_of(maps) == geobox_of(cube)
    for name in ("mean", "spread"):
        held = monitor(cube, nets, statistic=name, **places.SETTINGS)
        np.testing.assert_array_equal(maps[name], held)
        assert set(maps[name].coords) == set(held.coords)


def test_one_network_has_the_mean_alone(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], tmp_path: Path
) -> None:
    maps = _run(places, cube, nets[:1], tmp_path / "maps.zarr")
    assert maps.name == "change_probability"
    assert list(open_maps(tmp_path / "maps.zarr").data_vars) == ["mean"]
    with pytest.raises(InputError, match="one network"):
        _run(places, cube, nets[:1], tmp_path / "maps.zarr", statistic="spread")


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
def test_others_can_read_it(cube: xr.DataTree, undisturbed: Path) -> None:
    maps = xr.open_zarr(undisturbed, consolidated=False, decode_coords="all")
    assert geobox_of(maps) == geobox_of(cube)
    assert {"start", "end", "time", "count", "digest", "spatial_ref"} <= set(maps.coords)
    assert (maps["time"].values == open_maps(undisturbed)["time"].values).all()
    assert maps["mean"].encoding["chunks"] == (1, 20, 28)
    assert np.isnan(zarr.open_array(undisturbed / "mean", mode="r").fill_value)
    settings = maps.attrs["settings"]
    assert settings["era"] == "tiny"
    assert maps.attrs["networks"] == ["random 0", "random 1"]


def test_chunks_fit_the_pieces(places: ModuleType, nets: list[ERCNN]) -> None:
    from terradelta.urban.store import _chunk

    assert [_chunk(core) for core in (16, 77, 96, 256, 400, 512)] == [256, 231, 192, 256, 200, 256]


# killed


class _Killed:
    """A process that runs jobs in children and tells how they ended."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PLACES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, **task: Any) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def killed() -> Iterator[_Killed]:
    process = _Killed()
    yield process
    process.close()


def test_killed_at_any_write(killed: _Killed, places: ModuleType, tmp_path: Path) -> None:
    cube, whole = str(places.fill(tmp_path / "place.zarr", range(15))), tmp_path / "whole.zarr"
    assert killed.run(cube=cube, store=str(whole)) == 0
    writes = int(Path(f"{whole}.count").read_text())
    assert writes > 50
    for number in [0, *np.random.default_rng(1).integers(2, writes - 1, 2).tolist(), writes - 1]:
        task = {"cube": cube, "store": str(tmp_path / f"{number}.zarr")}
        assert killed.run(**task, die_at=number, after=bool(number % 2)) == -9
        if number < writes - 1:
            with pytest.raises(CubeError):
                open_maps(task["store"])
        # killed once more on the way, then left alone
        assert killed.run(**task, die_at=number // 3, after=True) in (0, -9)
        assert killed.run(**task) == 0
        assert _files(Path(task["store"])) == _files(whole), f"killed at write {number} of {writes}"


def test_what_is_done_is_not_done_again(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "maps.zarr"
    read = _count_blocks(monkeypatch, stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        _run(places, cube, nets, store)
    with pytest.raises(CubeError, match="not finished"):
        open_maps(store)
    read.clear()
    _run(places, cube, nets, store)
    assert len(read) == 2
    read.clear()
    before = _files(store)
    _run(places, cube, nets, store)
    assert not read
    assert _files(store) == before


def _count_blocks(monkeypatch: pytest.MonkeyPatch, stop_at: int = 0) -> list[Any]:
    """Note every block that is read, and break off once at one of them."""
    read: list[Any] = []
    frames = Stack.frames
    left = [stop_at]

    def counted(self: Stack, rows: slice, columns: slice, **more: Any) -> Any:
        read.append((rows, columns, more))
        if left[0] == len(read):
            left[0] = 0
            raise KeyboardInterrupt
        return frames(self, rows, columns, **more)

    monkeypatch.setattr(Stack, "frames", counted)
    return read


def _count_windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many windows are run in each block."""
    counts: list[int] = []
    run = WindowRunner.run

    def counted(self: WindowRunner, frames: Any, windows: Any, **more: Any) -> Any:
        counts.append(len(windows))
        return run(self, frames, windows, **more)

    monkeypatch.setattr(WindowRunner, "run", counted)
    return counts


# grown


@pytest.mark.parametrize("incomplete", [False, True])
def test_a_grown_cube_needs_new_windows_only(
    places: ModuleType, nets: list[ERCNN], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, incomplete: bool
) -> None:
    path, store = places.fill(tmp_path / "place.zarr", range(17)), tmp_path / "maps.zarr"
    before = _run(places, open_cube(path), nets, store, incomplete=incomplete).sizes["window"]
    whole = 3  # those that end before the last of 17 observations
    places.fill(path, range(17, 26))
    counts, read = _count_windows(monkeypatch), _count_blocks(monkeypatch)
    maps = _run(places, open_cube(path), nets, store, incomplete=incomplete)
    assert maps.sizes["window"] > before
    assert counts == [maps.sizes["window"] - whole] * 4
    assert {more["first"] for *_, more in read} == {whole * 3}
    fresh = tmp_path / "fresh.zarr"
    _run(places, open_cube(path), nets, fresh, incomplete=incomplete)
    _same_maps(store, fresh, atol=1e-6)


def test_grown_between_a_kill_and_the_next_run(
    places: ModuleType, nets: list[ERCNN], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = places.fill(tmp_path / "place.zarr", range(17)), tmp_path / "maps.zarr"
    _count_blocks(monkeypatch, stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        _run(places, open_cube(path), nets, store)
    places.fill(path, range(17, 24))
    counts = _count_windows(monkeypatch)
    maps = _run(places, open_cube(path), nets, store)
    assert counts == [maps.sizes["window"] - 3] * 2 + [maps.sizes["window"]] * 2
    fresh = tmp_path / "fresh.zarr"
    _run(places, open_cube(path), nets, fresh)
    _same_maps(store, fresh, atol=1e-6)


def test_an_image_that_came_late_renews_the_windows_from_then_on(
    places: ModuleType, nets: list[ERCNN], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = tmp_path / "place.zarr", tmp_path / "maps.zarr"
    places.fill(path, range(13))
    places.fill(path, range(14, 24))
    _run(places, open_cube(path), nets, store)
    places.fill(path, range(13, 14))
    counts = _count_windows(monkeypatch)
    maps = _run(places, open_cube(path), nets, store)
    assert counts == [maps.sizes["window"] - 2] * 4
    fresh = tmp_path / "fresh.zarr"
    _run(places, open_cube(path), nets, fresh)
    _same_maps(store, fresh, atol=1e-6)


def test_an_image_older_than_all_others_is_refused(
    places: ModuleType, nets: list[ERCNN], tmp_path: Path
) -> None:
    path, store = places.fill(tmp_path / "place.zarr", range(2, 18)), tmp_path / "maps.zarr"
    _run(places, open_cube(path), nets[:1], store)
    before = _files(store)
    places.fill(path, range(1, 2))
    words = r"differ in the first observations of the cube \(older ones .*\); use another path, or overwrite$"
    with pytest.raises(ConflictError, match=words) as caught:
        _run(places, open_cube(path), nets[:1], store)
    assert "\n" not in str(caught.value)
    assert _files(store) == before
    maps = _run(places, open_cube(path), nets[:1], store, overwrite=True)
    np.testing.assert_array_equal(maps, monitor(open_cube(path), nets[0], **places.SETTINGS))


def test_a_shorter_period_drops_windows(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "maps.zarr"
    _run(places, cube, nets, store)
    end = places.START + np.timedelta64(30, "D")
    maps = _run(places, cube, nets, store, end=end)
    whole = open_maps(undisturbed)["mean"]
    assert 0 < maps.sizes["window"] < whole.sizes["window"]
    np.testing.assert_array_equal(maps, whole[: maps.sizes["window"]])
    _run(places, cube, nets, store)
    _same_maps(store, undisturbed, atol=1e-6)


# refused


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"stride": 4}, r"stride \(3 there, 4 now\)"),
        ({"dead_zone": 5}, "dead_zone"),
        ({"tile": 26}, "tile"),
        ({"tiling": "original", "tile": 10, "dead_zone": 0}, "tiling"),
        ({"fewest": 4}, "fewest"),
        ({"start": "2020-01-03"}, "start"),
        ({"precision": "bfloat16"}, "precision"),
    ],
)
def test_other_settings_are_refused(
    places: ModuleType,
    cube: xr.DataTree,
    nets: list[ERCNN],
    undisturbed: Path,
    more: dict[str, Any],
    word: str,
) -> None:
    before = _files(undisturbed)
    with pytest.raises(ConflictError, match=word):
        _run(places, cube, nets, undisturbed, **more)
    assert _files(undisturbed) == before


def test_other_networks_or_observations_are_refused_or_replaced(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], undisturbed: Path, tmp_path: Path
) -> None:
    store, path = tmp_path / "maps.zarr", places.fill(tmp_path / "place.zarr", range(30, 46))
    _run(places, open_cube(path), nets[1:], store, tiling="original", tile=9, dead_zone=0)
    with pytest.raises(
        ConflictError, match=r"first observations of the cube.*networks.*tiling.*use the same settings"
    ):
        _run(places, cube, nets, store)
    _run(places, cube, nets, store, overwrite=True)
    assert _files(store) == _files(undisturbed)


def test_killed_while_replacing(
    places: ModuleType,
    cube: xr.DataTree,
    nets: list[ERCNN],
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "maps.zarr"
    _run(places, cube, nets, store, tiling="original", tile=9, dead_zone=0)
    with monkeypatch.context() as patch:
        patch.setattr("terradelta.urban.store.remove_tree", _refuse)
        with pytest.raises(KeyboardInterrupt):
            _run(places, cube, nets, store, overwrite=True)
    _run(places, cube, nets, store)
    assert _files(store) == _files(undisturbed)


def _refuse(folder: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_left_alone(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], tmp_path: Path, overwrite: bool
) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    with pytest.raises(InputError, match="holds no window maps"):
        _run(places, cube, nets, tmp_path, overwrite=overwrite)
    assert (tmp_path / "mine.txt").read_text() == "dear"
    with pytest.raises(InputError, match="holds no window maps"):
        _run(places, cube, nets, Path(cube.encoding["source"]), overwrite=overwrite)


def test_one_writer_at_a_time(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], tmp_path: Path
) -> None:
    with exclusive(tmp_path / "maps.zarr"), pytest.raises(LockedError, match="being written by process"):
        _run(places, cube, nets, tmp_path / "maps.zarr")


@pytest.mark.parametrize("more", [{"memory": 10**6}, {"tiling": "original", "tile": 24, "dead_zone": 0}])
def test_nothing_is_left_where_settings_are_bad(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], tmp_path: Path, more: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"^(memory|tile) is "):
        _run(places, cube, nets, tmp_path / "out" / "maps.zarr", **more)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["missing.zarr", "."])
def test_no_maps_to_open(tmp_path: Path, where: str) -> None:
    with pytest.raises(CubeError, match="holds no window maps"):
        open_maps(tmp_path / where)
