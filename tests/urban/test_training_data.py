"""The reading side of both trainings: frames, groups, samples, visits, orders."""

from __future__ import annotations

import importlib.util
import pickle
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from terradelta.cube import open_cube
from terradelta.cube.layout import Layout
from terradelta.errors import CubeError, InputError, TerradeltaError
from terradelta.learning.loading import Seeded, make_loader
from terradelta.learning.options import TrainingOptions
from terradelta.types import Size
from terradelta.urban import Stack
from terradelta.urban.training import data as data_module
from terradelta.urban.training import frames as frames_module
from terradelta.urban.training.augmentation import orient
from terradelta.urban.training.batch import collate
from terradelta.urban.training.data import LabelledCube, PretrainTiles, TransferTiles
from terradelta.urban.training.frames import GroupedOrder, TileFrames, TileGroups
from terradelta.urban.training.visits import Visits, visit_starts, whole_windows
from terradelta.windows import Tile, TileGrid, checkerboard, time_windows


def _places() -> ModuleType:
    spec = importlib.util.spec_from_file_location("urban_places", Path(__file__).with_name("urban_places.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLACES = _places()
GRID, TINY, fill = PLACES.GRID, PLACES.TINY, PLACES.fill
IMAGES, SIDE = 45, 4
SIZE = Size(*GRID.shape)
TILES = TileGrid(SIZE, SIDE)
PLAN = Visits(count=3, first=2, steps=(4, 6))


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    return open_cube(fill(tmp_path_factory.mktemp("places") / "town.zarr", range(IMAGES)))


@pytest.fixture(scope="module")
def stack(cube: xr.DataTree) -> Stack:
    return Stack.of(cube, TINY)


@pytest.fixture(scope="module")
def series(stack: Stack) -> NDArray[np.float32]:
    """All frames of the whole place, (time, channel, y, x)."""
    return np.stack([frame.copy() for frame in stack.frames(slice(0, SIZE.y), slice(0, SIZE.x))])


@pytest.fixture(scope="module")
def labels(stack: Stack) -> xr.Dataset:
    return make_labels(stack)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cube look as if its chunks had 2 x 3 tiles."""
    layout = Layout((2 * SIDE, 3 * SIDE), (2 * SIDE, 3 * SIDE))
    monkeypatch.setattr(frames_module, "layout_for", lambda size: layout)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tile, ...]]:
    """Note which groups of tiles are read."""
    noted: list[tuple[Tile, ...]] = []
    read = frames_module.read_frames

    def noting(stack: Stack, groups: TileGroups, group: int, **limits: Any) -> NDArray[np.float32]:
        noted.append(groups.groups[group])
        return read(stack, groups, group, **limits)

    monkeypatch.setattr(frames_module, "read_frames", noting)
    monkeypatch.setattr(data_module, "read_frames", noting)
    return noted


def make_labels(stack: Stack, seed: int = 0, **settings: Any) -> xr.Dataset:
    """Make labels of the shape that the label store has, with random values."""
    era, times = stack.era, stack.times
    windows = time_windows(times, length=era.window, stride=1, fewest=era.fewest, most=era.most, triples=True)
    values = np.random.default_rng(seed).random((len(windows), *stack.size), dtype=np.float32)
    known = {
        "era": era.name,
        "start": None,
        "end": None,
        "step": era.step / np.timedelta64(1, "D"),
        "first_observations": stack.digests[0],
    }
    return xr.Dataset(
        {"label": (("window", "y", "x"), values)},
        {
            "start": ("window", times[[window.start for window in windows]]),
            "end": ("window", times[[window.stop - 1 for window in windows]]),
            "count": ("window", np.array([len(window) for window in windows], np.int32)),
        },
        {"settings": {**known, **settings}},
    )


def bytes_of(stack: Stack, tiles: int) -> int:
    return tiles * 4 * len(stack.times) * stack.channels * SIDE**2


def pretrain(cube: xr.DataTree, labels: xr.Dataset, *args: Any, **settings: Any) -> PretrainTiles:
    return PretrainTiles(
        LabelledCube(cube, labels, "town"), *args, **{"era": TINY, "tile": SIDE, "share": 1.0, **settings}
    )


# groups of tiles


def test_groups_keep_to_chunks_and_hold_each_tile_once(small_chunks: None) -> None:
    groups = TileGroups.of(TILES, TILES.tiles, most=4)
    assert Counter(groups.tiles) == Counter(TILES.tiles)
    for number, group in enumerate(groups.groups):
        assert len(group) <= 4
        assert len({(tile.row // 2, tile.column // 3) for tile in group}) == 1
        rows, columns = groups.box(number)
        for tile, part in zip(group, groups.within(number), strict=True):
            inner = tuple(
                slice(a.start + b.start, a.start + b.stop) for a, b in zip((rows, columns), part, strict=True)
            )
            assert inner == TILES.part(tile)


def test_groups_of_a_chunk_are_alike_in_size() -> None:
    grid = TileGrid(Size(512, 512), 32)
    groups = TileGroups.of(grid, grid.tiles, most=30).groups
    assert Counter(map(len, groups)) == {21: 8, 22: 4}


def test_order_reads_each_group_in_one_go() -> None:
    samples = [np.arange(10 * k, 10 * k + 10) for k in range(7)]
    order = GroupedOrder(samples, [4] * 7, memory=9, seed=5)
    given = []
    for epoch in range(3):
        order.set_epoch(epoch)
        numbers = list(order)
        assert sorted(numbers) == list(range(70))
        sets = [{number // 10 for number in numbers[start : start + 20]} for start in range(0, 70, 20)]
        assert [len(groups) for groups in sets] == [2, 2, 2, 1]
        assert numbers[:20] != sorted(numbers[:20])
        given.append(numbers)
    assert given[0] != given[1] != given[2]
    again = GroupedOrder(samples, [4] * 7, memory=9, seed=5)
    again.set_epoch(2)
    assert list(again) == given[2]
    other = GroupedOrder(samples, [4] * 7, memory=9, seed=6)
    other.set_epoch(2)
    assert list(other) != given[2]


# frames


@pytest.fixture(scope="module")
def alone(stack: Stack) -> dict[Tile, NDArray[np.float32]]:
    """Some tiles, each read by itself."""
    tiles = [*checkerboard(TILES).train, Tile(4, 6)]
    return {tile: np.stack([frame.copy() for frame in stack.frames(*TILES.part(tile))]) for tile in tiles}


@pytest.mark.parametrize("room", [1, 3, 100])
def test_frames_equal_each_tile_read_by_itself(
    stack: Stack, alone: dict[Tile, NDArray[np.float32]], small_chunks: None, room: int
) -> None:
    frames = TileFrames(stack, TILES, list(alone), memory=bytes_of(stack, room))
    for tile in [*alone, *reversed(alone)]:
        np.testing.assert_array_equal(frames(tile), alone[tile])
    assert frames(Tile(4, 6)).dtype == np.float32


def test_groups_are_kept_while_memory_lasts(
    stack: Stack, small_chunks: None, reads: list[tuple[Tile, ...]]
) -> None:
    frames = TileFrames(stack, TILES, TILES.tiles, memory=bytes_of(stack, 12))
    first, second, third = frames.groups.groups[:3]
    assert (len(first), len(second)) == (6, 6)
    for tile in (*first, *second, *first):
        frames(tile)
    assert reads == [first, second]
    frames(third[0])
    frames(first[0])
    assert reads == [first, second, third], "what was not used for longest goes first"
    frames(second[0])
    assert reads[-1] == second


def test_frames_refuse_other_tiles_grids_and_too_little_memory(stack: Stack) -> None:
    frames = TileFrames(stack, TILES, [Tile(0, 0)], memory=10**7)
    with pytest.raises(InputError, match="tile 0:1 is not among those to read"):
        frames(Tile(0, 1))
    with pytest.raises(InputError, match="raster of 64 x 64 pixels, the cube has 20 x 28"):
        TileFrames(stack, TileGrid(Size(64, 64), SIDE), [Tile(0, 0)], memory=10**7)
    with pytest.raises(InputError, match="memory is 0 MiB, but the frames of one tile take 1 MiB"):
        TileFrames(stack, TILES, [Tile(0, 0)], memory=100)
    with pytest.raises(InputError):
        TileFrames(stack, TILES, [Tile(9, 9)], memory=10**7)


def test_frames_can_be_sent_to_other_processes(stack: Stack) -> None:
    frames = TileFrames(stack, TILES, TILES.tiles, memory=10**7)
    expected = frames(Tile(1, 1))
    packed = pickle.dumps(frames)
    assert len(packed) < 10**5, "what was read stays behind"
    np.testing.assert_array_equal(pickle.loads(packed)(Tile(1, 1)), expected)


# pre-training


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("lazy", [False, True])
def test_pretraining_samples_equal_the_naive_ones(
    cube: xr.DataTree,
    stack: Stack,
    series: NDArray[np.float32],
    labels: xr.Dataset,
    small_chunks: None,
    part: Any,
    lazy: bool,
) -> None:
    data = pretrain(cube, labels.chunk(window=2) if lazy else labels, part, memory=bytes_of(stack, 5))
    given = {sample.name: sample for sample in map(data.__getitem__, range(len(data)))}
    assert len(given) == len(data)
    windows = time_windows(stack.times, length=TINY.window, stride=1, fewest=3, most=20, triples=True)
    assert len(windows) > 5
    expected = {}
    for tile in getattr(checkerboard(TILES), part):
        for number, window in enumerate(windows):
            start = np.datetime_as_string(stack.times[window.start], "D")
            pixels = (slice(tile.row * 4, tile.row * 4 + 4), slice(tile.column * 4, tile.column * 4 + 4))
            name = f"town tile {tile} from {start}"
            expected[name] = (
                series[(window.slice, slice(None), *pixels)],
                labels["label"].values[number][pixels],
            )
    assert given.keys() == expected.keys()
    for name, (frames, label) in expected.items():
        np.testing.assert_array_equal(given[name].frames.numpy(), frames)
        np.testing.assert_array_equal(given[name].label.numpy(), label)
        assert given[name].windows.tolist() == [[0, len(frames)]]
        assert not given[name].frozen.any()
        assert given[name].frames.dtype == given[name].label.dtype == torch.float32


def test_a_share_of_the_windows_is_drawn_for_each_tile(cube: xr.DataTree, labels: xr.Dataset) -> None:
    whole = pretrain(cube, labels)
    tiles, windows = len(checkerboard(TILES).train), labels.sizes["window"]
    assert len(whole) == tiles * windows
    some = pretrain(cube, labels, share=0.25)
    assert len(some) == tiles * round(windows / 4)
    names = {sample.name for sample in some}
    assert len(names) == len(some)
    assert names == {sample.name for sample in pretrain(cube, labels, share=0.25, memory=10**5)}
    assert names != {sample.name for sample in pretrain(cube, labels, share=0.25, seed=1)}
    drawn = {
        tuple(sorted(n.split()[-1] for n in names if f"tile {t} " in n)) for t in checkerboard(TILES).train
    }
    assert len(drawn) > 3, "each tile has its own windows"
    assert len(pretrain(cube, labels, share=1e-9)) == tiles


def test_the_order_reads_each_group_once_per_epoch(
    cube: xr.DataTree, stack: Stack, labels: xr.Dataset, small_chunks: None, reads: list[tuple[Tile, ...]]
) -> None:
    town = LabelledCube(cube, labels, "town")
    village = LabelledCube(cube, make_labels(stack, seed=1), "village")
    data = PretrainTiles([town, village], era=TINY, tile=SIDE, share=1.0, memory=bytes_of(stack, 6))
    order = data.order(3)
    for epoch in range(2):
        reads.clear()
        order.set_epoch(epoch)
        numbers = list(order)
        assert sorted(numbers) == list(range(len(data)))
        names = [data[number].name for number in numbers]
        assert len(set(names)) == len(data)
        tiles = Counter(tile for group in reads for tile in group)
        assert tiles == dict.fromkeys(checkerboard(TILES).train, 2), "once for each place"
        assert any(one.split()[0] != two.split()[0] for one, two in pairwise(names))
        left, right = ("town", "village")
        assert sum(name.startswith(left) for name in names) == sum(name.startswith(right) for name in names)


def test_several_places_keep_their_own_labels(cube: xr.DataTree, stack: Stack, labels: xr.Dataset) -> None:
    other = make_labels(stack, seed=1)
    both = PretrainTiles(
        [LabelledCube(cube, labels, "a"), LabelledCube(cube, other, "b")], era=TINY, tile=SIDE, share=1.0
    )
    half = len(both) // 2
    for index in (0, half - 1):
        assert both[index].name.startswith("a tile")
        assert both[half + index].name.startswith("b tile")
        assert torch.equal(both[index].frames, both[half + index].frames)
        assert not torch.equal(both[index].label, both[half + index].label)
    assert both[-1].name == both[len(both) - 1].name
    with pytest.raises(IndexError):
        both[len(both)]


@pytest.mark.parametrize(("branches", "channels"), [("sar", slice(0, 2)), ("optical", slice(2, 4))])
def test_windows_of_one_sensor_hold_its_own_kept_times(
    cube: xr.DataTree, labels: xr.Dataset, branches: Any, channels: slice
) -> None:
    data = pretrain(cube, labels, branches=branches)
    alone = Stack.of(cube, TINY, branches=branches)
    tile = checkerboard(TILES).train[0]
    walk = np.stack([frame.copy() for frame in alone.frames(*TILES.part(tile))])
    starts = labels["start"].values
    inside = [(alone.times >= t) & (alone.times < t + TINY.window) for t in starts]
    fitting = [number for number, found in enumerate(inside) if found.sum() >= TINY.fewest]
    assert len(data) == len(fitting) * len(checkerboard(TILES).train) > 0
    for position, number in enumerate(fitting):
        sample = data[position]
        np.testing.assert_array_equal(sample.frames.numpy(), walk[inside[number]])
        assert torch.equal(sample.label, torch.tensor(labels["label"].values[number][TILES.part(tile)]))
    assert data[0].frames.shape[1] == channels.stop - channels.start


def test_labels_of_a_cube_that_changed_are_refused(
    cube: xr.DataTree, labels: xr.Dataset, tmp_path: Path
) -> None:
    end = r"the cube changed since the labels were made, make them again$"

    def changed(name: str, index: int, value: Any) -> xr.Dataset:
        values = labels[name].values.copy()
        values[index] = value
        return labels.assign_coords({name: ("window", values)})

    hour = np.timedelta64(1, "h")
    with pytest.raises(
        CubeError, match=r"the start of window 2, 2020-01-\d\dT11:00:00, is no kept time.*" + end
    ):
        pretrain(cube, changed("start", 2, labels["start"].values[2] + hour))
    with pytest.raises(CubeError, match=r"the end of window 0, .* is no kept time.*" + end):
        pretrain(cube, changed("end", 0, np.datetime64("2031-01-01", "ns")))
    with pytest.raises(CubeError, match=r"window 1 was made from 9 kept times, and there are 10.*" + end):
        pretrain(cube, changed("count", 1, 9))
    with pytest.raises(CubeError, match=r"fit town: they have 19 x 28 pixels, the cube 20 x 28.*" + end):
        pretrain(cube, labels.isel(y=slice(1, None)))
    without = [number for number in range(IMAGES) if number != 14]
    other = open_cube(fill(tmp_path / "other.zarr", without))  # type: ignore[arg-type]
    with pytest.raises(CubeError, match=end):
        pretrain(other, labels)
    grown = open_cube(fill(tmp_path / "grown.zarr", range(IMAGES + 3)))
    assert len(pretrain(grown, labels)) == len(pretrain(cube, labels))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0}, "share is 0; give a part"),
        ({"share": 1.1}, "share is 1.1"),
        ({"part": "test"}, "part is 'test'; choose from train, validation"),
        ({"era": "s1s2"}, "the labels of town are of the era tiny, the network is of s1s2"),
        ({"era": None}, "no era is called 'tiny'"),
        ({"tile": 16, "part": "validation"}, "no tile of 16 pixels is for validation"),
        ({"memory": 10}, "memory is 0 MiB"),
    ],
)
def test_settings_of_pretraining_are_checked(
    cube: xr.DataTree, labels: xr.Dataset, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(TerradeltaError, match=message):
        pretrain(cube, labels, **settings)


def test_labels_without_settings_are_refused(cube: xr.DataTree, stack: Stack, labels: xr.Dataset) -> None:
    with pytest.raises(CubeError, match="make them with terradelta label"):
        pretrain(cube, labels.assign_attrs(settings={}))
    with pytest.raises(
        CubeError, match="observations up to the first kept time are others; the cube changed"
    ):
        pretrain(cube, make_labels(stack, first_observations="another"))


def test_the_period_and_step_of_the_labels_count(cube: xr.DataTree) -> None:
    limits = {"start": "2020-01-09", "end": "2020-03-20"}
    later = Stack.of(cube, TINY, **limits, step=np.timedelta64(4, "D"))
    data = pretrain(cube, make_labels(later, step=4.0, **limits))
    assert data[0].frames.shape[0] == 5
    # kept are 11, 15, 19 January and so on: the first with three before it is of the 23rd
    assert data[0].name.endswith("from 2020-01-23")


# visits


def test_visits_are_drawn_evenly_within_their_bounds() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = np.array([visit_starts(Visits(), generator, 516) for _ in range(2000)])
    steps = np.diff(draws, axis=1)
    assert draws.shape == (2000, 10)
    assert (draws[:, 0] == 20).all()
    assert (steps.min(), steps.max()) == (45, 55)
    shares = np.bincount(steps.ravel())[45:] / steps.size
    np.testing.assert_allclose(shares, 1 / 11, atol=0.01)
    assert visit_starts(Visits(count=1, first=0), None, 1) == (0,)


def test_too_short_a_series_is_told_with_its_cure() -> None:
    with pytest.raises(
        InputError, match=r"has 515 windows, .* need 516; give a longer period, fewer windows or"
    ):
        visit_starts(Visits(), None, 515)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"first": -1}, {"steps": (0, 3)}, {"steps": (5, 4)}])
def test_plans_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Visits(**wrong)


def test_whole_windows_equal_the_naive_ones(stack: Stack) -> None:
    times, expected = stack.times, []
    for first, time in enumerate(times):
        inside = [n for n, other in enumerate(times) if n >= first and other < time + TINY.window][
            : TINY.most
        ]
        if len(inside) >= TINY.fewest and (inside[-1] + 1 < len(times) or len(inside) == TINY.most):
            expected.append((first, inside[-1] + 1))
    assert [(window.start, window.stop) for window in whole_windows(times, TINY)] == expected


# transfer


@pytest.fixture
def truth() -> NDArray[np.uint8]:
    return np.random.default_rng(2).choice(np.array([0, 1, 3, 255], np.uint8), SIZE)


@pytest.fixture
def frames(stack: Stack) -> TileFrames:
    return TileFrames(stack, TILES, TILES.tiles, memory=bytes_of(stack, len(TILES.tiles)))


def visited(name: str) -> Iterator[int]:
    return map(int, name.split("windows ")[1].split())


@pytest.mark.parametrize("augment", ["none", "all", "random"])
def test_transfer_samples_equal_the_naive_ones(
    frames: TileFrames, series: NDArray[np.float32], truth: NDArray[np.uint8], augment: Any
) -> None:
    tiles = [Tile(4, 6), Tile(0, 1), Tile(2, 3)]
    data = TransferTiles(frames, truth, tiles, PLAN, augment=augment)
    windows = whole_windows(frames.stack.times, TINY)
    assert len(data) == (48 if augment == "all" else 3)
    torch.manual_seed(4)
    codes, places = Counter[int](), Counter[str]()
    for sample in map(data.__getitem__, range(len(data))):
        tile = Tile.parse(sample.name.split()[1])
        code = int(sample.name.split()[3].rstrip(","))
        starts = list(visited(sample.name))
        assert starts[0] == 2
        assert set(np.diff(starts)) <= {4, 5, 6}
        codes[code] += 1
        places[str(tile)] += 1
        span = slice(windows[starts[0]].start, windows[starts[-1]].stop)
        expected = orient(series[(span, slice(None), *TILES.part(tile))], code)
        np.testing.assert_array_equal(sample.frames.numpy(), expected)
        given = [[windows[n].start - span.start, windows[n].stop - span.start] for n in starts]
        assert sample.windows.tolist() == given
        label = np.isin(truth[TILES.part(tile)], (1, 3)).astype(np.float32)
        label[:, 1::2] *= not code & 1
        np.testing.assert_array_equal(sample.label.numpy(), orient(label, code))
        assert sample.frozen.any() == bool(code & 1)
        assert not sample.label[sample.frozen].any()
    assert set(places) == {str(tile) for tile in tiles}
    if augment == "all":
        assert codes == dict.fromkeys(range(16), 3)
    if augment == "none":
        assert codes == {0: 3}


def test_a_sample_leaves_what_is_kept_in_memory_as_it_is(
    frames: TileFrames, truth: NDArray[np.uint8]
) -> None:
    data = TransferTiles(frames, truth, [Tile(0, 0)], PLAN, augment="none", fixed=1)
    before = data[0]
    data[0].frames.fill_(7)
    data[0].label.fill_(7)
    assert torch.equal(data[0].frames, before.frames)
    assert torch.equal(data[0].label, before.label)


def test_visits_depend_on_seed_epoch_and_sample_alone(frames: TileFrames, truth: NDArray[np.uint8]) -> None:
    data = TransferTiles(frames, truth, TILES.tiles, PLAN)
    seeded, count = Seeded(data, 7), len(data)
    names = [seeded[index].name for index in range(count)]
    assert names == [seeded[index].name for index in reversed(range(count))][::-1]
    assert names != [seeded[count + index].name for index in range(count)]
    assert names != [Seeded(data, 8)[index].name for index in range(count)]
    assert len({name.split(" as ")[1] for name in names}) > 20


def test_visits_for_validation_are_fixed(frames: TileFrames, truth: NDArray[np.uint8]) -> None:
    tiles = [Tile(1, 1), Tile(3, 2)]
    data = TransferTiles(frames, truth, tiles, Visits(4, 0, (2, 8)), augment="none", repeats=3, fixed=5)
    names = [data[index].name for index in range(len(data))]
    assert len(set(names)) == len(names) == 6
    torch.manual_seed(1)
    assert names == [data[index].name for index in range(len(data))]
    turned = TransferTiles(
        frames, truth, tiles[::-1], Visits(4, 0, (2, 8)), augment="none", repeats=3, fixed=5
    )
    assert names == [turned[index].name for index in range(6)]
    other = TransferTiles(frames, truth, tiles, Visits(4, 0, (2, 8)), augment="none", repeats=3, fixed=6)
    assert names != [other[index].name for index in range(6)]


def test_the_order_of_visits_reads_each_group_once_per_epoch(
    stack: Stack, truth: NDArray[np.uint8], small_chunks: None, reads: list[tuple[Tile, ...]]
) -> None:
    frames = TileFrames(stack, TILES, TILES.tiles, memory=bytes_of(stack, 7))
    data = TransferTiles(frames, truth, TILES.tiles[::2], PLAN, repeats=3)
    order = data.order(1)
    for epoch in range(2):
        reads.clear()
        order.set_epoch(epoch)
        numbers = list(order)
        assert sorted(numbers) == list(range(len(data)))
        for number in numbers:
            data[number]
        assert Counter(tile for group in reads for tile in group).most_common(1)[0][1] == 1


@pytest.mark.enable_socket  # worker processes hand tensors over through a local socket
@pytest.mark.parametrize("kind", ["pretrain", "transfer"])
def test_workers_give_the_same_batches(
    cube: xr.DataTree, stack: Stack, labels: xr.Dataset, truth: NDArray[np.uint8], kind: str
) -> None:
    found = []
    for workers in (0, 2):
        frames = TileFrames(stack, TILES, TILES.tiles, memory=bytes_of(stack, 20))
        data: Any = TransferTiles(frames, truth, TILES.tiles, PLAN)
        if kind == "pretrain":
            data = pretrain(cube, labels, share=0.2)
        options = TrainingOptions(batch=4, workers=workers, seed=3)
        loader: DataLoader[Any] = make_loader(data, collate, options, training=True, order=data.order(3))
        found.append(list(loader))
    assert len(found[0]) == len(found[1])
    for one, two in zip(*found, strict=True):
        assert one.names == two.names
        assert all(torch.equal(a, b) for a, b in zip(one[:4], two[:4], strict=True))


def test_settings_of_transfer_are_checked(frames: TileFrames, truth: NDArray[np.uint8]) -> None:
    few = r"^tile 0:0 \(45 kept times\) has \d+ windows, but visits of 10 windows, 45 to 55 .* need 516; give"
    with pytest.raises(InputError, match=few):
        TransferTiles(frames, truth, [Tile(0, 0)])
    for change, message in [
        ({"augment": "some"}, "augment is 'some'; choose from random, all, none"),
        ({"repeats": 0}, "repeats is 0"),
        ({"tiles": []}, "no tile to visit"),
        ({"tiles": [Tile(8, 8)]}, "tile 8:8 is not among those to read"),
        ({"truth": truth[1:]}, r"truth has the shape \(19, 28\), the cube has \(20, 28\) pixels"),
    ]:
        given: dict[str, Any] = {"truth": truth, "tiles": [Tile(0, 0)], "visits": PLAN, **change}
        with pytest.raises(InputError, match=message):
            TransferTiles(frames, **given)
