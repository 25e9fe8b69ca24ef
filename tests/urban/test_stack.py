from __future__ import annotations

import hashlib
import os
import shutil
import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from terradelta import simulate
from terradelta.cube import OpticalAcquisition, SarAcquisition, append_all, create_cube, open_cube, write_cube
from terradelta.errors import CubeError, InputError
from terradelta.types import Size
from terradelta.urban.era import ERS12LS5, S1S2, Era
from terradelta.urban.observations import Sensor
from terradelta.urban.stack import Stack
from terradelta.windows import grid_tiles

DAY = np.timedelta64(1, "D")
RADAR = ("ascending", "descending")
_DIMS = {2: ("time", "y", "x"), 3: ("time", "band", "y", "x")}
SMALL = Era("small", ("VV", "VH"), ("B02", "B03"), 2 * DAY, 60 * DAY, 3, 9, 4, 4, 10.0)


@pytest.fixture(scope="module", autouse=True)
def unsynced():
    """Spare the disk: whether cubes outlive a crash is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def grid(size: Size) -> GeoBox:
    return GeoBox.from_bbox((0, 0, 10 * size.x, 10 * size.y), "EPSG:32631", resolution=10)


def observations(
    rng: np.random.Generator, size: Size, count: int
) -> list[SarAcquisition | OpticalAcquisition]:
    """Draw images of a place with holes, masks, equal times and bands in another order than wanted."""
    made: list[SarAcquisition | OpticalAcquisition] = []
    for number in range(count):
        time = np.datetime64("2020-01-01", "ns") + int(rng.integers(0, 60)) * DAY
        holes = rng.random(size) < rng.choice([0.0, 0.3, 0.9])
        holes[0, 0] |= rng.random() < 0.8  # a corner that is hardly ever seen
        holes[-1, -1] = False  # a cube refuses images without any valid pixel
        if number % 3 == 2:
            bands = ("B03", "B01", "B02")
            values = rng.random((3, *size), np.float32)
            values[int(rng.integers(3)), rng.random(size) < 0.1] = np.nan
            values[:, -1, -1] = 0.5
            made.append(
                OpticalAcquisition(
                    time=time, bands=bands, reflectance=values, clear=~holes, platform=f"S2{number}"
                )
            )
        else:
            values = rng.random((2, *size), np.float32) * 3
            values[:, holes] = np.nan
            values[0, rng.random(size) < 0.05] = np.nan
            values[:, -1, -1] = 1.0
            direction = "ascending" if number % 3 else "descending"
            made.append(
                SarAcquisition(
                    time=time, bands=("VH", "VV"), backscatter=values, orbit_direction=direction,
                    relative_orbit=number + 1, platform="S1A", source_id=f"image {number}",
                )
            )  # fmt: skip
    return made


def in_memory(images: list[SarAcquisition | OpticalAcquisition], size: Size) -> xr.DataTree:
    """Build what `open_cube` would give, from arrays."""
    groups = {}
    for kind in (SarAcquisition, OpticalAcquisition):
        mine = sorted((image for image in images if isinstance(image, kind)), key=lambda image: image.time)
        if mine:
            columns = mine[0].columns()
            pixels = mine[0].images()
            groups[kind.group] = xr.Dataset(
                {
                    name: (_DIMS[pixels[name].ndim], np.stack([image.images()[name] for image in mine]))
                    for name in pixels
                },
                coords={
                    "time": np.array([image.time for image in mine]),
                    "band": list(mine[0].bands),
                    **{n: ("time", np.array([i.columns()[n] for i in mine], object)) for n in columns},
                    **xr_coords(grid(size)),
                },
            )  # fmt: skip
    return xr.DataTree.from_dict(groups)


def on_disk(folder: Path, images: list[SarAcquisition | OpticalAcquisition], size: Size) -> Path:
    create_cube(folder, grid(size))
    append_all(folder, images)
    return folder


def sensor_of(image: SarAcquisition | OpticalAcquisition) -> str:
    return getattr(image, "orbit_direction", "optical")


def slow_frames(images, era: Era, times, size: Size, branches: str = "both") -> np.ndarray:
    """For each pixel and frame walk through all observations from the first to the last."""
    names = {"both": (*RADAR, "optical"), "sar": RADAR, "optical": ("optical",)}[branches]
    sensors = [
        (era.sar_bands if name in RADAR else era.optical_bands, [i for i in images if sensor_of(i) == name])
        for name in names
    ]
    frames = np.zeros((len(times), sum(len(bands) for bands, _ in sensors), *size), np.float32)
    channel = 0
    for bands, mine in sensors:
        mine = sorted(mine, key=lambda i: (i.time, f"{i.platform}|{getattr(i, 'relative_orbit', 0)}|"))
        for frame, time in zip(frames, times, strict=True):
            for y, x in np.ndindex(*size):
                for image in mine:
                    pixels = image.reflectance if isinstance(image, OpticalAcquisition) else image.backscatter
                    values = [pixels[image.bands.index(band), y, x] for band in bands]
                    seen = not isinstance(image, OpticalAcquisition) or image.clear[y, x]
                    if image.time <= time and seen and np.isfinite(values).all():
                        frame[channel : channel + len(bands), y, x] = values
        channel += len(bands)
    return frames


def all_frames(stack: Stack, rows=slice(None), columns=slice(None), **bounds) -> np.ndarray:
    return np.array([frame.copy() for frame in stack.frames(rows, columns, **bounds)])


# ---- against slow obvious ways


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.sampled_from(["both", "sar", "optical"]), st.integers(1, 9))
def test_frames_equal_a_walk_over_all_observations(seed: int, branches, step: int) -> None:
    rng = np.random.default_rng(seed)
    size = Size(*rng.integers(2, 4, 2).tolist())
    images = observations(rng, size, int(rng.integers(3, 20)))
    start = None if rng.random() < 0.5 else np.datetime64("2020-01-15")
    end = None if rng.random() < 0.5 else np.datetime64("2020-02-20")
    needed = {"both": {*RADAR, "optical"}, "sar": {*RADAR}, "optical": {"optical"}}[branches]
    mine = [image for image in images if sensor_of(image) in needed and (end is None or image.time < end)]
    period = {"branches": branches, "start": start, "end": end, "step": step * DAY}
    if {sensor_of(image) for image in mine} != needed or not any(
        start is None or image.time >= start for image in mine
    ):
        with pytest.raises(CubeError, match=r"the cube holds no|no observation is from"):
            Stack.of(in_memory(images, size), SMALL, **period)
        return
    stack = Stack.of(in_memory(images, size), SMALL, **period)
    assert sorted({image.time for image in mine}) == sorted(
        {np.datetime64(i.split("|")[0]) for i in stack.identities}
    )
    frames = all_frames(stack)
    np.testing.assert_array_equal(frames, slow_frames(images, SMALL, stack.times, size, branches))
    assert stack.channels == frames.shape[1] and stack.size == size
    # any frame first, any part of the raster
    first, last = sorted(rng.integers(0, len(frames) + 1, 2).tolist())
    for begin, until in ((first, len(frames)), (first, last), (len(frames) - 1, None)):
        found = all_frames(stack, first=begin, last=until)
        np.testing.assert_array_equal(found.reshape(-1, *frames.shape[1:]), frames[begin:until])
    row, column = (int(rng.integers(0, n)) for n in size)
    np.testing.assert_array_equal(
        all_frames(stack, slice(row, size.y), slice(column, column + 1)),
        frames[:, :, row:, column : column + 1],
    )


def test_the_order_of_images_in_the_cube_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    size = Size(6, 7)
    images = observations(rng, size, 14)
    images.append(observations(np.random.default_rng(6), size, 1)[0])
    # two tracks at the same moment, one over the other
    again = images[-1]
    images.append(
        SarAcquisition(
            time=again.time, bands=again.bands, backscatter=again.backscatter * 2, platform="S1A",
            orbit_direction=again.orbit_direction, relative_orbit=99,
        )
    )  # fmt: skip
    wanted = Stack.of(in_memory(images, size), SMALL)
    stacks = [wanted]
    for number in range(2):
        shuffled = [images[i] for i in rng.permutation(len(images))]
        stacks.append(Stack.of(open_cube(on_disk(tmp_path / f"{number}.zarr", shuffled, size)), SMALL))
    frames = all_frames(wanted)
    np.testing.assert_array_equal(frames, slow_frames(images, SMALL, wanted.times, size))
    for stack in stacks[1:]:
        np.testing.assert_array_equal(all_frames(stack), frames)
        np.testing.assert_array_equal(stack.times, wanted.times)
        assert (stack.identities, stack.digests) == (stacks[1].identities, stacks[1].digests)
    # a tree that was cut, loaded or computed with is read as it is
    opened = open_cube(tmp_path / "0.zarr", chunks={"time": 3, "y": 2})
    for changed in (opened.isel(y=slice(2, 5)), opened.load().isel(y=slice(2, 5))):
        np.testing.assert_array_equal(all_frames(Stack.of(changed, SMALL)), frames[:, :, 2:5])
    opened["sar"]["backscatter"] = opened["sar"]["backscatter"] * 2
    np.testing.assert_array_equal(all_frames(Stack.of(opened, SMALL))[:, :4], frames[:, :4] * 2)


# ---- against what the published programs gave


@cache
def published(shared: Path) -> tuple[dict[str, np.ndarray], tuple[SarAcquisition | OpticalAcquisition, ...]]:
    scenes = dict(np.load(shared / "reference/ercnn/stack_observations.npz"))
    size = Size(70, 75)  # of the first radar scenes, the smaller one; optical scenes are cut to it
    images: list[SarAcquisition | OpticalAcquisition] = []
    for kind, direction in (("asc", "ascending"), ("dsc", "descending"), ("opt", "")):
        valid = np.unpackbits(scenes[f"{kind}_valid"], axis=2)[:, : size.y, : size.x].astype(bool)
        values = scenes[f"{kind}_q"][:, : size.y, : size.x].transpose(0, 3, 1, 2) / np.float32(256)
        for time, image, clear in zip(scenes["time"][scenes["kind"] == kind], values, valid, strict=True):
            moment = f"{time[:4]}-{time[4:6]}-{time[6:8]}T{time[9:11]}:{time[11:13]}:{time[13:15]}"
            if direction:
                image = np.where(clear, image, np.nan)
                images.append(
                    SarAcquisition(
                        time=moment, bands=S1S2.sar_bands, backscatter=image, orbit_direction=direction
                    )
                )
            else:
                images.append(
                    OpticalAcquisition(time=moment, bands=S1S2.optical_bands, reflectance=image, clear=clear)
                )
    return scenes, tuple(images)


@pytest.fixture(scope="module")
def published_cube(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of the published scenes, but for one without any valid pixel, which a cube does not take."""
    _, images = published(shared)
    some = [image for image in images if image.group == "sar" or image.clear.any()]
    assert len(some) == len(images) - 1
    return on_disk(tmp_path_factory.mktemp("published") / "place.zarr", some, Size(70, 75))


# in the third, that scene makes a step of its own
@pytest.mark.parametrize(
    ("name", "where"),
    [("t32", "disk"), ("t40d4", "disk"), ("t32", "memory"), ("t40d4", "memory"), ("t64_delta1s", "memory")],
)
def test_frames_equal_the_original(name: str, where: str, shared: Path, published_cube: Path) -> None:
    scenes, images = published(shared)
    oracle = np.load(shared / f"reference/ercnn/stack_tiles_{name}.npz")
    tree = open_cube(published_cube) if where == "disk" else in_memory(list(images), Size(70, 75))
    start, end = (
        f"{str(scenes[key])[:4]}-{str(scenes[key])[4:6]}-{str(scenes[key])[6:8]}" for key in ("start", "end")
    )
    step = np.timedelta64(int(oracle["delta_step_s"]), "s")
    stack = Stack.of(tree, S1S2, start=start, end=end, step=step)
    seconds = stack.times.astype("datetime64[s]").astype(float)
    np.testing.assert_array_equal(seconds, oracle["timestamps"])
    digests = dict(entry.split(":") for entry in oracle["sha256"].tolist())
    tiles = grid_tiles(stack.size, int(oracle["tile_size"]), int(oracle["deadzone"]))
    assert len(tiles) == len(digests)
    columns = len({tile.read_offset.x for tile in tiles})
    for number, tile in enumerate(tiles):
        label = "{}_{}".format(*divmod(number, columns))
        frames = all_frames(stack, *tile.read) * 256
        values = frames.transpose(0, 2, 3, 1).astype(np.uint8)
        np.testing.assert_array_equal(values.transpose(0, 3, 1, 2), frames)
        if f"tile_{label}" in oracle:
            np.testing.assert_array_equal(values, oracle[f"tile_{label}"])
        if f"sum_{label}" in oracle:
            np.testing.assert_array_equal(values.sum((1, 2), dtype=np.int64), oracle[f"sum_{label}"])
        assert hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest() == digests[label]


def test_kept_times_equal_the_original_list(shared: Path) -> None:
    _, images = published(shared)
    stack = Stack.of(in_memory(list(images), Size(70, 75)), S1S2, start="2019-01-01", end="2020-03-01")
    path = shared / "reference/ercnn/stack_effective_timestamps.csv"
    rows = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=(1,))
    np.testing.assert_array_equal(stack.times.astype("datetime64[s]").astype(float), rows)


# ---- identities and digests


def test_digests_tell_which_frames_are_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    size = Size(4, 4)
    images = sorted(observations(rng, size, 15), key=lambda image: image.time)
    whole = Stack.of(open_cube(on_disk(tmp_path / "all.zarr", images, size)), SMALL)
    assert len(whole.digests) == len(whole.times) == len(set(whole.digests))
    assert len(whole.identities) == len(images) and list(whole.identities) == sorted(whole.identities)
    # a cube that grows
    part = Stack.of(open_cube(on_disk(tmp_path / "part.zarr", images[:10], size)), SMALL)
    assert part.digests[:-1] == whole.digests[: len(part.digests) - 1]
    # one pixel of one image is another: all from there on
    late = int(np.searchsorted(whole.times, images[9].time))
    pixels = next(iter(images[9].images().values()))
    pixels[:, -1, -1] *= 0.5
    other = Stack.of(open_cube(on_disk(tmp_path / "other.zarr", images, size)), SMALL)
    assert other.digests[:late] == whole.digests[:late]
    assert not set(other.digests[late:]) & set(whole.digests[late:])
    assert [one == two for one, two in zip(whole.identities, other.identities, strict=True)].count(False) == 1
    # other settings, other frames
    for different in (
        Stack.of(open_cube(tmp_path / "all.zarr"), SMALL, step=np.timedelta64(36, "h")),
        Stack.of(open_cube(tmp_path / "all.zarr"), SMALL, start="2020-01-02T01"),
        Stack.of(open_cube(tmp_path / "all.zarr"), SMALL, branches="sar"),
    ):
        pairs = zip(different.times, different.digests, whole.times, whole.digests, strict=False)
        same = sum(digest == other for _, digest, _, other in pairs)
        np.testing.assert_array_equal(different.times[:same], whole.times[:same])
        assert not set(different.digests[same:]) & set(whole.digests)
        assert same < len(whole.times) and (different.branches == "both" or not same)


def test_a_tree_in_memory_is_known_by_its_sources(tmp_path: Path) -> None:
    size = Size(4, 4)
    images = observations(np.random.default_rng(2), size, 12)
    tree = in_memory(images, size)
    stack = Stack.of(tree, SMALL)
    assert any(name.endswith("|image 0") for name in stack.identities)
    assert stack.digests == Stack.of(tree.copy(deep=True), SMALL).digests
    # a cube that was read into memory and is gone
    path = on_disk(tmp_path / "a.zarr", images, size)
    loaded = open_cube(path).load()
    known = Stack.of(loaded, SMALL)
    shutil.rmtree(path)
    lost = Stack.of(loaded, SMALL)
    assert lost.identities == stack.identities != known.identities
    np.testing.assert_array_equal(all_frames(lost), all_frames(known))


def test_an_opened_cube_does_not_grow_under_a_stack(tmp_path: Path) -> None:
    size = Size(4, 4)
    images = observations(np.random.default_rng(3), size, 12)
    path = on_disk(tmp_path / "a.zarr", images[:8], size)
    opened = open_cube(path)
    before = Stack.of(opened, SMALL)
    frames = all_frames(before)
    append_all(path, images[8:])
    after = Stack.of(opened, SMALL)
    assert after.identities == before.identities and after.digests == before.digests
    np.testing.assert_array_equal(all_frames(after), frames)
    assert len(Stack.of(open_cube(path), SMALL).identities) == 12


# ---- reading little, holding little


class Reads:
    """Counts the images and the pixels that pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images: list[tuple[str, int]] = []
        original = Sensor.read

        def read(sensor, index, part, wanted):
            self.images.append((sensor.name, index))
            return original(sensor, index, part, wanted)

        monkeypatch.setattr(Sensor, "read", read)


def test_only_what_is_needed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = simulate.place(seed=1, size=32, years=0.6, changes=0, optical_days=5)
    stack = Stack.of(tree, S1S2)
    reads = Reads(monkeypatch)
    all_frames(stack)
    assert len(reads.images) == len(set(reads.images)) <= len(stack.identities)
    reads.images.clear()
    next(stack.frames(slice(0, 32), slice(0, 32), first=len(stack.times) - 1))
    # one image of each direction shows everything; of clouded ones some more are needed
    assert [name for name, _ in reads.images].count("ascending") == 1
    assert [name for name, _ in reads.images].count("descending") == 1
    assert len(reads.images) < 12 < len(stack.identities)
    reads.images.clear()
    list(stack.frames(slice(0, 32), slice(0, 32), first=3, last=3))
    stack.frames(slice(0, 32), slice(0, 32))
    assert not reads.images


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of 17 channels whose frames would fill 160 MB if they were held together."""
    path = tmp_path_factory.mktemp("large") / "place.zarr"
    size = Size(256, 256)
    create_cube(path, grid(size))
    rng = np.random.default_rng(0)
    sar, optical = rng.random((2, *size), np.float32), rng.random((13, *size), np.float32)
    append_all(
        path,
        (
            image
            for day in range(0, 36, 3)
            for image in (
                SarAcquisition(time=f"{np.datetime64('2020-01-01') + day}T05", bands=S1S2.sar_bands,
                               backscatter=sar, orbit_direction="descending", relative_orbit=1),
                SarAcquisition(time=f"{np.datetime64('2020-01-01') + day + 1}T17", bands=S1S2.sar_bands,
                               backscatter=sar, orbit_direction="ascending", relative_orbit=2),
                OpticalAcquisition(time=f"{np.datetime64('2020-01-01') + day + 2}T10",
                                   bands=S1S2.optical_bands, reflectance=optical,
                                   clear=rng.random(size) < 0.7),
            )
        ),
    )  # fmt: skip
    return path


def test_frames_are_not_held_together(large: Path) -> None:
    stack = Stack.of(open_cube(large), S1S2, step=np.timedelta64(1, "h"))
    assert len(stack.times) == 36
    one = 17 * 256 * 256 * 4
    tracemalloc.start()
    try:
        for _ in stack.frames(slice(0, 256), slice(0, 256)):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # the frame itself, one image and what zarr needs to unpack it
    assert peak < 6 * one


def test_a_damaged_image_is_named(large: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.zarr"
    shutil.copytree(large, path)
    stack = Stack.of(open_cube(path), S1S2)
    for shard in (path / "sar" / "backscatter" / "c" / "10").rglob("*"):
        if shard.is_file():
            shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(CubeError, match="image of 2020-01-16T05:00:00 cannot be read"):
        list(stack.frames(slice(0, 8), slice(0, 8)))


# ---- bad input


@pytest.fixture(scope="module")
def scene() -> xr.DataTree:
    return simulate.place(seed=0, size=24, years=0.2, changes=0, optical_days=5)


def without(tree: xr.DataTree, name: str) -> xr.DataTree:
    return xr.DataTree.from_dict(
        {key: node.to_dataset() for key, node in tree.children.items() if key != name}
    )


def replaced(tree: xr.DataTree, **groups) -> xr.DataTree:
    datasets = {key: node.to_dataset() for key, node in tree.children.items()}
    return xr.DataTree.from_dict({key: groups[key](value) if key in groups else value
                                  for key, value in datasets.items()})  # fmt: skip


def test_a_missing_sensor_is_named(scene: xr.DataTree) -> None:
    with pytest.raises(CubeError, match=r'no optical images.*branches="sar"'):
        Stack.of(without(scene, "optical"), S1S2)
    with pytest.raises(CubeError, match=r'no radar images.*branches="optical"'):
        Stack.of(without(scene, "sar"), S1S2)
    assert Stack.of(without(scene, "optical"), S1S2, branches="sar").channels == 4
    stack = Stack.of(without(scene, "sar"), S1S2, branches="optical")
    assert stack.channels == 13
    np.testing.assert_array_equal(stack.times, scene["optical"]["time"].values)


def test_a_missing_direction_is_named(scene: xr.DataTree) -> None:
    def one(radar: xr.Dataset) -> xr.Dataset:
        return radar.isel(time=radar["orbit_direction"].values == "ascending")

    with pytest.raises(CubeError, match=r'no descending radar images, only ascending.*branches="optical"'):
        Stack.of(replaced(scene, sar=one), S1S2)
    with pytest.raises(CubeError, match="no descending"):
        Stack.of(replaced(scene, sar=one), S1S2, branches="sar")
    assert Stack.of(replaced(scene, sar=one), S1S2, branches="optical").channels == 13
    first = scene["sar"]["time"].values[0]
    with pytest.raises(CubeError, match=r"no .* radar images before"):
        Stack.of(scene, S1S2, end=first + np.timedelta64(1, "s"))


def test_bands_go_by_name(scene: xr.DataTree) -> None:
    turned = replaced(scene, optical=lambda group: group.isel(band=slice(None, None, -1)))
    np.testing.assert_array_equal(all_frames(Stack.of(turned, S1S2)), all_frames(Stack.of(scene, S1S2)))
    fewer = replaced(scene, optical=lambda group: group.drop_sel(band=["B05", "B10"]))
    with pytest.raises(CubeError, match="lack the bands B05, B10; the cube has B01, B02"):
        Stack.of(fewer, S1S2)
    with pytest.raises(CubeError, match="lack the bands B1, B2"):
        Stack.of(scene, ERS12LS5)
    with pytest.raises(CubeError, match="the radar images lack the band VH; the cube has VV"):
        Stack.of(replaced(scene, sar=lambda group: group.sel(band=["VV"])), S1S2)


def test_other_units_are_refused(scene: xr.DataTree) -> None:
    def decibel(radar: xr.Dataset) -> xr.Dataset:
        return radar.assign(backscatter=10 * np.log10(radar["backscatter"]))

    def numbers(optical: xr.Dataset) -> xr.Dataset:
        return optical.assign(reflectance=optical["reflectance"] * 10000)

    with pytest.raises(CubeError, match="looks like decibel"):
        Stack.of(replaced(scene, sar=decibel), S1S2)
    with pytest.raises(CubeError, match="digital numbers"):
        Stack.of(replaced(scene, optical=numbers), S1S2)
    assert Stack.of(replaced(scene, optical=numbers), S1S2, branches="sar").channels == 4


def test_an_empty_period_is_named(scene: xr.DataTree) -> None:
    with pytest.raises(CubeError, match=r"no observation is from 2031-01-01 on.*the last one is of"):
        Stack.of(scene, S1S2, start="2031-01-01")
    with pytest.raises(InputError, match="from 2021-01-01 to 2020-01-01 is empty"):
        Stack.of(scene, S1S2, start="2021-01-01", end="2020-01-01")
    with pytest.raises(InputError, match="'soon' is no time"):
        Stack.of(scene, S1S2, start="soon")


def test_wrong_arguments_are_named(scene: xr.DataTree) -> None:
    with pytest.raises(InputError, match="branches is 'radar'"):
        Stack.of(scene, S1S2, branches="radar")
    with pytest.raises(InputError, match="no era is called"):
        Stack.of(scene, "s3")
    with pytest.raises(InputError, match="step is"):
        Stack.of(scene, S1S2, step=np.timedelta64(0, "D"))
    stack = Stack.of(scene, "s1s2")
    with pytest.raises(InputError, match="within the 24"):
        stack.frames(slice(0, 30), slice(0, 8))
    with pytest.raises(InputError, match="columns are"):
        stack.frames(slice(0, 8), slice(8, 8))
    with pytest.raises(InputError, match="frames 5 to 999"):
        stack.frames(slice(0, 8), slice(0, 8), first=5, last=999)


def test_radar_and_optical_must_be_on_one_grid(scene: xr.DataTree) -> None:
    with pytest.raises(CubeError, match="20 x 24 and 24 x 24 pixels"):
        Stack.of(replaced(scene, optical=lambda group: group.isel(y=slice(0, 20))), S1S2)


def test_a_simulated_place_gives_the_same_from_disk(scene: xr.DataTree, tmp_path: Path) -> None:
    write_cube(scene, tmp_path / "place.zarr")
    one, two = Stack.of(scene, S1S2), Stack.of(open_cube(tmp_path / "place.zarr"), S1S2)
    np.testing.assert_array_equal(one.times, two.times)
    np.testing.assert_array_equal(all_frames(one), all_frames(two))
