"""Monitoring: maps equal to the plain networks, seams, what is refused."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from terradelta.cube import geobox_of, open_cube
from terradelta.errors import ConflictError, CubeError, InputError
from terradelta.types import Size
from terradelta.urban import ERCNN, ERS12LS5, S1S2, Stack, monitor
from terradelta.urban.plan import Budget, Piece, choose_core, pieces_of
from terradelta.windows.grids import grid_tiles, mosaic

STRIDE = 3


@pytest.fixture(scope="session")
def places() -> ModuleType:
    spec = importlib.util.spec_from_file_location("urban_places", Path(__file__).with_name("urban_places.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def cube(places: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    return open_cube(places.fill(tmp_path_factory.mktemp("monitor") / "place.zarr", range(24)))


@pytest.fixture(scope="session")
def nets(places: ModuleType) -> list[ERCNN]:
    return [places.network(seed) for seed in range(3)]


@pytest.fixture(scope="session")
def plain(places: ModuleType, cube: xr.DataTree, nets: list[ERCNN]) -> np.ndarray:
    """Every network on the whole place with 8 mirrored pixels around, by window: (net, window, y, x)."""
    return places.plain_maps(cube, nets, slice(None), slice(None), stride=STRIDE, mirrored=8)


# equal to the plain networks


def test_one_block_is_the_plain_network(cube: xr.DataTree, nets: list[ERCNN], plain: np.ndarray) -> None:
    maps = monitor(cube, nets[0], stride=STRIDE)
    assert plain[0].std() > 1e-3
    np.testing.assert_allclose(maps, plain[0], atol=1e-6)


@pytest.mark.parametrize(
    ("statistic", "function"),
    [("mean", np.mean), ("minimum", np.min), ("maximum", np.max), ("spread", np.std)],
)
def test_several_networks(
    cube: xr.DataTree, nets: list[ERCNN], plain: np.ndarray, statistic: str, function: Callable[..., Any]
) -> None:
    maps = monitor(cube, nets, stride=STRIDE, statistic=statistic)
    np.testing.assert_allclose(maps, function(plain, axis=0), atol=1e-6)


@pytest.mark.parametrize("zone", [0, 2])
def test_original_tiling_is_the_network_tile_by_tile(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], zone: int
) -> None:
    size = Size(*geobox_of(cube).shape)
    maps = monitor(cube, nets[0], stride=STRIDE, tiling="original", tile=12, dead_zone=zone)
    tiles = grid_tiles(size, 12, zone)
    assert len(tiles) > 1
    whole = mosaic(size, [(t, places.plain_maps(cube, nets[:1], *t.read, stride=STRIDE)[0]) for t in tiles])
    assert 0 < np.isnan(whole).mean() < 0.6
    np.testing.assert_allclose(maps, whole, atol=1e-6)


def test_original_tiling_in_more_than_one_piece() -> None:
    size, budget = Size(40, 75), Budget(2 * 10**9, 10**6)
    core = choose_core(size, 8, 2, "original", budget)
    pieces = pieces_of(size, core, 8, 2, "original")
    assert len(pieces) > 2
    owned = np.zeros(size, int)
    for piece in pieces:
        owned[piece.core] += 1
    expected = np.zeros(size, int)
    for tile in grid_tiles(size, 8, 2):
        expected[tile.core] += 1
    assert (owned == expected).all()
    image = np.random.default_rng(0).random((3, *size), dtype=np.float32)
    for piece in pieces:
        tiles = piece.cut(image[(slice(None), *piece.read)])
        assert (piece.join(tiles[:, 1][None])[0] == image[1][piece.core]).all()


@pytest.mark.parametrize("branches", ["sar", "optical"])
def test_networks_of_one_sensor(places: ModuleType, cube: xr.DataTree, branches: str) -> None:
    net = places.network(1, branches=branches)
    maps = monitor(cube, net, stride=1, fewest=2, dead_zone=0)
    era = places.TINY
    stack = Stack.of(cube, era, branches=branches)
    frames = np.stack([frame.copy() for frame in stack.frames(slice(None), slice(None))])
    first = frames[: int(maps["count"][0])]
    with torch.inference_mode():
        expected = net(torch.tensor(first[None]), torch.tensor([len(first)]))[0]
    np.testing.assert_allclose(maps[0], expected, atol=1e-6)


# seams


def test_the_edge_of_the_place_is_like_its_inside(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN]
) -> None:
    zeros = places.plain_maps(cube, nets[:1], slice(None), slice(None), stride=STRIDE)[0]
    maps = monitor(cube, nets[0], stride=STRIDE).values
    inside = maps[:, 8:-8, 8:-8].mean()

    def off(values: np.ndarray) -> float:
        edges = (values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1])
        return max(abs(edge.mean() - inside) for edge in edges)

    assert off(maps) < 0.5 * off(zeros)


def test_small_tiles_show_seams_and_a_dead_zone_removes_them(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], plain: np.ndarray
) -> None:
    tiled = monitor(cube, nets[0], stride=STRIDE, tiling="original", tile=10)
    away = np.abs(tiled.values[:, :20, :20] - plain[0][:, :20, :20])
    border = away[:, :, 9:11]
    assert border.max() > 1e-2
    errors = [
        np.abs(
            monitor(cube, nets[0], stride=STRIDE, tile=8 + 2 * zone, dead_zone=zone).values - plain[0]
        ).max()
        for zone in (2, 8)
    ]
    assert errors[1] < 1e-3 < errors[0]


# what the maps say about themselves


def test_coordinates(places: ModuleType, cube: xr.DataTree, nets: list[ERCNN]) -> None:
    maps = monitor(cube, nets[0], stride=STRIDE)
    assert maps.name == "change_probability"
    assert maps.dims == ("window", "y", "x")
    assert maps.dtype == np.float32
    assert geobox_of(maps) == geobox_of(cube)
    times = places.START + np.arange(24) * np.timedelta64(2, "D")
    starts = np.arange(0, 12 + 1, STRIDE)
    assert (maps["start"].values == times[starts]).all()
    assert (maps["end"].values == times[starts + 9]).all()
    assert (maps["time"].values == times[starts] + np.timedelta64(9, "D")).all()
    assert (maps["count"].values == 10).all()


def test_incomplete_windows_on_request(cube: xr.DataTree, nets: list[ERCNN]) -> None:
    whole = monitor(cube, nets[0], stride=STRIDE)
    every = monitor(cube, nets[0], stride=STRIDE, incomplete=True)
    assert every["count"].values.tolist() == [10] * 5 + [9, 6, 3]
    np.testing.assert_array_equal(every[:5], whole)


def test_a_period(places: ModuleType, cube: xr.DataTree, nets: list[ERCNN]) -> None:
    start, end = places.START + np.timedelta64(7, "D"), places.START + np.timedelta64(40, "D")
    maps = monitor(cube, nets[0], stride=STRIDE, start=start, end=str(end))
    assert maps["start"].values[0] == places.START + np.timedelta64(8, "D")
    assert maps["end"].values[-1] < end


def test_progress_reaches_its_end(cube: xr.DataTree, nets: list[ERCNN]) -> None:
    told: list[int] = []
    totals: list[int] = []

    @contextmanager
    def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
        totals.append(total)
        yield told.append

    monitor(cube, nets[0], stride=STRIDE, tile=16, dead_zone=4, progress=progress)
    assert sum(told) == totals[0] > 50


def test_a_path_is_as_good_as_a_cube(cube: xr.DataTree, nets: list[ERCNN]) -> None:
    maps = monitor(cube.encoding["source"], nets[:1], stride=STRIDE)
    np.testing.assert_array_equal(maps, monitor(cube, nets[0], stride=STRIDE))


# memory


def test_blocks_follow_the_memory() -> None:
    size = Size(4000, 4000)
    sides = [choose_core(size, None, 8, "seamless", Budget(m * 10**9, 30_000)) for m in (1, 2, 4, 400)]
    assert sides == sorted(sides)
    assert sides[-1] == 256
    assert all(side % 16 == 0 for side in sides)


@pytest.mark.parametrize(
    "settings",
    [{"memory": 10**6}, {"memory": 10**6, "tile": 32}, {"memory": 10**6, "tile": 9, "tiling": "original"}],
)
def test_too_little_memory(cube: xr.DataTree, nets: list[ERCNN], settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"needs at least \d+ MiB") as caught:
        monitor(cube, nets[0], stride=STRIDE, **settings)
    least = int(str(caught.value).split("at least ")[1].split()[0])
    monitor(cube, nets[0], stride=STRIDE, **{**settings, "memory": least * 2**20})


# what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 0}, "stride is 0"),
        ({"stride": 1.5}, "whole number"),
        ({"dead_zone": -1}, "dead_zone is -1"),
        ({"tile": 16, "dead_zone": 8}, "at most 7"),
        ({"tile": 32, "tiling": "original"}, "larger than the place of 20 x 28"),
        ({"tile": 0}, "tile is 0"),
        ({"tiling": "other"}, "seamless, original"),
        ({"precision": "float16"}, "float32, bfloat16"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"device": "cuda:77"}, "device is 'cuda:77'"),
        ({"statistic": "median"}, "mean, minimum"),
        ({"fewest": 15}, "the fullest has 10, needed are 15"),
        ({"fewest": 0}, "fewest is 0"),
        ({"most": 2}, "most is 2"),
        ({"start": "2020-02-10"}, "fullest has 3|cuts all windows short"),
        ({"start": "2030-01-01"}, "no observation"),
    ],
)
def test_bad_settings(cube: xr.DataTree, nets: list[ERCNN], settings: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, CubeError), match=message) as caught:
        monitor(cube, nets[0], **settings)
    assert "\n" not in str(caught.value)


def test_a_tile_larger_than_the_place_is_the_place(cube: xr.DataTree, nets: list[ERCNN]) -> None:
    maps = monitor(cube, nets[0], stride=STRIDE, tile=500)
    np.testing.assert_array_equal(maps, monitor(cube, nets[0], stride=STRIDE))


def test_small_dead_zones_are_noted(
    cube: xr.DataTree, nets: list[ERCNN], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "terradelta"):
        monitor(cube, nets[0], stride=STRIDE, dead_zone=3)
        assert not caplog.text  # a single block has no seam
        monitor(cube, nets[0], stride=STRIDE, dead_zone=3, tile=18)
    assert "seams" in caplog.text


@pytest.mark.parametrize("other", [lambda p: p.network(0, ERS12LS5), lambda p: p.network(0, branches="sar")])
def test_networks_must_belong_together(
    places: ModuleType, cube: xr.DataTree, nets: list[ERCNN], other: Any
) -> None:
    with pytest.raises(InputError, match="tiny \\(both\\) and"):
        monitor(cube, [nets[0], other(places)])


@pytest.mark.parametrize("given", [[], [1], ["weights.hdf5"]])
def test_no_networks(cube: xr.DataTree, given: list[Any]) -> None:
    with pytest.raises(InputError, match=r"^nets "):
        monitor(cube, given)


def test_networks_of_the_other_era(places: ModuleType, cube: xr.DataTree) -> None:
    bands = [f"B{number}" for number in range(1, 8)]
    optical = cube["optical"].to_dataset().isel(band=[0] * 7).assign_coords(band=bands)
    tree = xr.DataTree.from_dict({"sar": cube["sar"].to_dataset(), "optical": optical})
    with pytest.raises(CubeError, match="bands of ers12ls5, the networks are of s1s2"):
        monitor(tree, places.network(0, S1S2))


# a cube that changes meanwhile


def _while_running(
    nets: list[ERCNN], cube: xr.DataTree, change: Callable[[], None], **more: Any
) -> xr.DataArray:
    @contextmanager
    def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
        change()
        yield lambda _: None

    return monitor(cube, nets[0], stride=STRIDE, progress=progress, **more)


def test_a_cube_that_grows_under_the_run(
    places: ModuleType, nets: list[ERCNN], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = places.fill(tmp_path / "place.zarr", range(16))
    expected = monitor(open_cube(path), nets[0], stride=STRIDE)
    with caplog.at_level(logging.WARNING, "terradelta"):
        maps = _while_running(nets, open_cube(path), lambda: places.fill(path, range(16, 18)))
    np.testing.assert_array_equal(maps, expected)
    assert "has grown meanwhile" in caplog.text


@pytest.mark.parametrize("stored", [True, False])
def test_a_cube_whose_past_changes_under_the_run(
    places: ModuleType, nets: list[ERCNN], tmp_path: Path, stored: bool
) -> None:
    path = places.fill(tmp_path / "place.zarr", range(2, 18))
    more = {"store": tmp_path / "maps.zarr"} if stored else {}
    with pytest.raises(ConflictError, match="changed while it was read"):
        _while_running(nets, open_cube(path), lambda: places.fill(path, range(2)), **more)


def test_a_tree_that_was_changed_in_memory_is_taken_as_it_is(cube: xr.DataTree, nets: list[ERCNN]) -> None:
    tree = xr.DataTree.from_dict(
        {name: cube[name].to_dataset().isel(time=slice(1, None)) for name in cube.children}
    )
    tree.encoding["source"] = cube.encoding["source"]
    assert monitor(tree, nets[0], stride=STRIDE).sizes["window"] > 0


def test_pieces_know_what_they_own() -> None:
    piece = Piece((slice(2, 12), slice(0, 8)), (slice(4, 10), slice(0, 6)))
    maps = np.arange(80.0).reshape(1, 1, 10, 8)
    assert (piece.join(maps)[0] == maps[0, 0, 2:8, :6]).all()
