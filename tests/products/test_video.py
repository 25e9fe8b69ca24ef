"""Videos of window maps: what is seen in which frame."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from terradelta.errors import InputError
from terradelta.products import write_video
from terradelta.products.painting import RED

av = pytest.importorskip("av")

Maps = Callable[..., xr.DataArray]
_RED = np.frombuffer(bytes.fromhex(RED[1:]), "uint8").astype(int)
_GREY = 120


def _frames(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as file:
        images = list(file.decode(video=0))
    return [image.to_ndarray(format="rgb24").astype(int) for image in images], [
        image.time for image in images
    ]


def _is_red(pixels: np.ndarray) -> np.ndarray:
    return (pixels[..., 0] > 140) & (pixels[..., 1] < 95) & (pixels[..., 2] < 105)


def _is_grey(pixels: np.ndarray) -> np.ndarray:
    return np.abs(pixels - _GREY).max(axis=-1) < 12


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_each_window_is_a_frame_with_its_change_in_red(make_maps: Maps, tmp_path: Path, suffix: str) -> None:
    maps = make_maps()
    done: list[int] = []
    path = write_video(
        maps, tmp_path / "new" / f"windows{suffix}", background=np.full((20, 30), _GREY, "uint8"),
        size_limit=480, fps=4, title="Liège", progress=done.append,
    )  # fmt: skip
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    frames, times = _frames(path)
    assert len(frames) == len(done) == 8
    np.testing.assert_allclose(times, np.arange(8) / 4, atol=0.011)
    height, width, _ = frames[0].shape
    assert (height % 2, width % 2, width) == (0, 0, 480)
    top = height - 320 - round(92 * 0.72)
    for number, frame in enumerate(frames):
        area = frame[top : top + 320, :480]
        box = area[10 * 8 : 16 * 8, 20 * 8 : 28 * 8][8:-8, 8:-8]
        other = area[:72, 40:400]
        assert _is_grey(other).mean() > 0.97
        changed = number in (3, 4, 5)
        assert _is_red(box).mean() > 0.97 if changed else not _is_red(box).any()
        assert changed or _is_grey(box).mean() > 0.97
        assert (area[150:200, 458:470].min(axis=-1) > 170).all()  # never computed: veiled


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_the_bar_moves_with_the_window(make_maps: Maps, tmp_path: Path, suffix: str) -> None:
    frames, _ = _frames(write_video(make_maps() * 0, tmp_path / f"w{suffix}", size_limit=480))
    width = frames[0].shape[1]
    start, middle, end = [], [], []
    for frame in frames:
        bar = frame[-66:-10]
        pink = np.nonzero(((bar[..., 0] > 190) & (bar[..., 1] < 190)).sum(axis=0) > 8)[0]
        dark = np.nonzero((bar.max(axis=-1) < 110).sum(axis=0) > 14)[0]
        start.append(pink.min() / width)
        end.append(pink.max() / width)
        middle.append(dark.mean() / width)
    share = 0.92 / (7 * 30 + 180)
    days = 30 * np.arange(8)
    np.testing.assert_allclose(start, 0.04 + share * days, atol=0.01)
    np.testing.assert_allclose(end, 0.04 + share * (days + 180), atol=0.01)
    np.testing.assert_allclose(middle, 0.04 + share * (days + 90), atol=0.01)


def test_a_single_changed_pixel_of_a_large_area_is_seen(make_maps: Maps, tmp_path: Path) -> None:
    maps = make_maps((700, 900), windows=2) * 0
    maps[1, 401, 603] = 1.0
    read: list[int] = []
    frames, _ = _frames(write_video(_watched(maps, read), tmp_path / "w.mp4", size_limit=300))
    assert read and max(read) <= 512 * 900
    height, width, _ = frames[0].shape
    assert (width, height) == (480, 32 + 234 + 66)
    spot = (slice(32 + 132, 32 + 134), slice(90 + 200, 90 + 202))
    assert _is_red(frames[1][spot]).all()
    assert not _is_red(frames[0][32 + 100 : 32 + 180, 90 + 150 : 90 + 250]).any()


def _watched(maps: xr.DataArray, read: list[int]) -> xr.DataArray:
    import dask.array as da

    def take(block: np.ndarray) -> np.ndarray:
        read.append(block.size)
        return block

    return maps.copy(data=da.from_array(maps.values, chunks=(1, 512, 900)).map_blocks(take, dtype="float32"))


def test_south_up_maps_look_the_same(make_maps: Maps, tmp_path: Path) -> None:
    maps = make_maps(windows=4)
    one = write_video(maps, tmp_path / "a.gif", size_limit=120)
    other = write_video(maps.isel(y=slice(None, None, -1)), tmp_path / "b.gif", size_limit=120)
    assert one.read_bytes() == other.read_bytes()


def test_a_long_title_one_window_and_no_counts(make_maps: Maps, tmp_path: Path) -> None:
    maps = make_maps(windows=6).isel(window=slice(0, 1)).drop_vars("count")
    frames, _ = _frames(write_video(maps, tmp_path / "w.mp4", size_limit=64, title="Long title " * 30))
    assert len(frames) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"threshold": -1}, "threshold is -1"),
        ({"size_limit": 5}, "size_limit is 5"),
        ({"background": np.zeros((3, 3))}, "give uint8"),
    ],
)
def test_videos_that_cannot_be(
    make_maps: Maps, tmp_path: Path, options: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        write_video(make_maps(), tmp_path / "w.mp4", **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_wrong_maps_and_names_are_told(make_maps: Maps, tmp_path: Path) -> None:
    maps = make_maps()
    with pytest.raises(InputError, match=r"suffix '\.avi'"):
        write_video(maps, tmp_path / "w.avi")
    with pytest.raises(InputError, match="no coordinate 'time'"):
        write_video(maps.drop_vars("time"), tmp_path / "w.mp4")
    with pytest.raises(InputError, match="dimensions"):
        write_video(maps[:0], tmp_path / "w.mp4")


def test_a_missing_package_is_named(make_maps: Maps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'terradelta\[video\]'"):
        write_video(make_maps(), tmp_path / "w.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_a_failing_frame_leaves_nothing(make_maps: Maps, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"w{suffix}").write_text("old")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(make_maps(), tmp_path / f"w{suffix}", progress=stop, size_limit=64)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(f"w{suffix}", "old")]
