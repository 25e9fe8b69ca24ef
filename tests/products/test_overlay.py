"""Change in red over a picture of the place, and that picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from matplotlib import image as pictures
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from terradelta.errors import InputError
from terradelta.products import background_of, draw_overlay
from terradelta.products.painting import PLAIN, RED, largest, opacity, redden, resized

MakeGrid = Callable[..., GeoBox]
_RED = np.frombuffer(bytes.fromhex(RED[1:]), "uint8").astype(int)


def _near(pixels: np.ndarray, colour: np.ndarray, limit: int = 8) -> np.ndarray:
    return np.abs(pixels[..., :3].astype(int) - colour).max(axis=-1) <= limit


@pytest.mark.parametrize("factor", [1, 3, 7, 600])
@pytest.mark.parametrize("lazy", [False, True])
def test_shrinking_keeps_the_largest_value(factor: int, lazy: bool) -> None:
    values = np.random.default_rng(factor).random((523, 31)).astype("float32")
    values[values < 0.05] = np.nan
    values[:8, :8] = np.nan
    whole = np.full((-(-523 // factor) * factor, -(-31 // factor) * factor), np.nan)
    whole[:523, :31] = values
    cells = whole.reshape(whole.shape[0] // factor, factor, -1, factor)
    expected = np.where(np.isnan(cells), -1, cells).max(axis=(1, 3))
    given = xr.DataArray(da.from_array(values, chunks=100)) if lazy else values
    np.testing.assert_array_equal(largest(given, factor), np.where(expected < 0, np.nan, expected))


def test_red_grows_with_the_value_and_spares_what_is_unchanged() -> None:
    picture = np.full((1, 5, 3), 100, "uint8")
    painted = redden(picture, np.array([[0.2, 0.5, 0.51, 1.0, np.nan]]), 0.5)[0].astype(int)
    assert painted[0].tolist() == painted[1].tolist() == [100, 100, 100]
    assert painted[3].tolist() == _RED.tolist()
    assert 100 < painted[2, 0] < painted[3, 0] and painted[2, 1] < 65
    assert (painted[4] > 180).all() and np.ptp(painted[4]) == 0
    assert (picture == 100).all()
    assert opacity(np.array([0.3, 1.0]), 1.0).tolist() == [0.0, 0.0]
    assert (np.diff(opacity(np.linspace(0, 1, 50), 0.0)[1:]) > 0).all()


def test_backgrounds_fit_any_size() -> None:
    picture = np.arange(12, dtype="uint8").reshape(3, 4)
    assert resized(picture, 6, 8)[::2, ::2, 1].tolist() == picture.tolist()
    assert (resized(None, 2, 3) == PLAIN).all()
    for wrong in (picture.astype(float), picture.reshape(3, 2, 2), np.zeros((0, 4, 3), "uint8")):
        with pytest.raises(InputError, match="give uint8"):
            resized(wrong, 2, 2)


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326"])
def test_the_map_shows_the_change_where_it_is(tmp_path: Path, make_grid: MakeGrid, crs: str) -> None:
    grid = make_grid(crs, (60, 80))
    change = np.zeros((60, 80), "float32")
    change[5:20, 50:75] = 1.0
    background = np.zeros((30, 40, 3), "uint8")
    background[..., 1] = 120
    dates = ("2018-01-05", "2020-01-05")
    path = draw_overlay(background, change, tmp_path / "a" / "overlay.png", geobox=grid, date_range=dates)
    assert [entry.name for entry in path.parent.iterdir()] == ["overlay.png"]
    pixels = (pictures.imread(path) * 255).round()
    green = _near(pixels, np.array([0, 120, 0]))
    rows, columns = np.nonzero(green)
    red = _near(pixels, _RED)[rows.min() : rows.max(), columns.min() : columns.max()]
    y, x = np.nonzero(red)
    height, width = red.shape
    assert (y.min() / height, y.max() / height) == pytest.approx((5 / 60, 20 / 60), abs=0.02)
    assert (x.min() / width, x.max() / width) == pytest.approx((50 / 80, 75 / 80), abs=0.02)
    flipped = draw_overlay(
        background[::-1], change[::-1], tmp_path / "f.png", geobox=grid.flipy(), date_range=dates
    )
    np.testing.assert_array_equal(pictures.imread(flipped), pictures.imread(path))


def test_maps_that_cannot_be_drawn(tmp_path: Path, make_grid: MakeGrid) -> None:
    with pytest.raises(InputError, match=r"shape \(3, 3\)"):
        draw_overlay(None, np.zeros((3, 3)), tmp_path / "x.png", geobox=make_grid(size=(60, 80)))
    with pytest.raises(InputError, match="threshold is 50"):
        draw_overlay(
            None, np.zeros((60, 80)), tmp_path / "x.png", threshold=50, geobox=make_grid(size=(60, 80))
        )
    assert not list(tmp_path.iterdir())


def _cube(names: tuple[str, ...] = ("B02", "B03", "B04"), *, clear: bool = True) -> xr.DataTree:
    """Blue rises from left to right, green from top to bottom, red not at all; one cloud per image."""
    grid = GeoBox.from_bbox((0, 0, 300, 200), "EPSG:32631", resolution=10)
    y, x = np.mgrid[0:20, 0:30]
    scene = np.stack([x / 29, y / 19, np.full((20, 30), 0.5)]).astype("float32") * 0.2
    reflectance = np.repeat(scene[None], 9, axis=0)
    mask = np.full((9, 20, 30), clear)
    for image in range(9):
        cloud = (slice(2 * image, 2 * image + 2), slice(None))
        reflectance[(image, slice(None), *cloud)] = 0.9
        mask[image][cloud] = False
    reflectance[8, :, 0, 0] = 0.9  # a bright plane that the mask missed
    times = np.datetime64("2020-01-01", "ns") + np.arange(9) * np.timedelta64(10, "D")
    optical = xr.Dataset(
        {"reflectance": (("time", "band", "y", "x"), reflectance), "clear": (("time", "y", "x"), mask)},
        coords={"time": times, "band": list(names), **xr_coords(grid)},
    )
    power = np.full((4, 2, 20, 30), 0.1, "float32")
    power[:, 0, :, 15:] = 1.0
    power[2] = 50.0  # the other direction
    sides = ["ascending", "ascending", "descending", "ascending"]
    radar = xr.Dataset(
        {"backscatter": (("time", "band", "y", "x"), power)},
        coords={
            "time": times[:4], "band": ["VV", "VH"],
            "orbit_direction": ("time", sides), **xr_coords(grid),
        },
    )  # fmt: skip
    return xr.DataTree.from_dict({"optical": optical, "sar": radar})


@pytest.mark.parametrize("names", [("B02", "B03", "B04"), ("B1", "B2", "B3")])
def test_true_colour_without_clouds(names: tuple[str, ...]) -> None:
    picture = background_of(_cube(names)).astype(int)
    assert picture.shape == (20, 30, 3)
    red, green, blue = np.moveaxis(picture, -1, 0)
    assert np.ptp(red) == 0
    assert (np.diff(blue, axis=1) >= 0).all() and np.ptp(blue, axis=0).max() == 0
    assert (np.diff(green, axis=0) >= 0).all() and np.ptp(green, axis=1).max() == 0
    assert blue.min() == 0 and blue.max() == 255


def test_the_background_of_a_time_and_of_a_large_area() -> None:
    cube = _cube()
    cube["optical"]["reflectance"][6:] *= 0.0
    late, early = background_of(cube, time="last"), background_of(cube, time="2020-02-20")
    assert np.ptp(late.astype(int)[:4]) < np.ptp(early.astype(int)[:4])
    assert background_of(cube, size_limit=16).shape == (10, 15, 3)
    np.testing.assert_array_equal(background_of(cube, time=np.datetime64("2020-02-20")), early)
    with pytest.raises(InputError, match="'soon'"):
        background_of(cube, time="soon")
    with pytest.raises(InputError, match="size_limit is 3"):
        background_of(cube, size_limit=3)


def test_strips_and_lazy_arrays_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from terradelta.products import background

    cube = _cube()
    expected = background_of(cube, size_limit=16)
    monkeypatch.setattr(background, "_STRIP", 7)
    lazy = cube.map_over_datasets(lambda part: part.chunk({"y": 5}) if part.dims else part)
    np.testing.assert_array_equal(background_of(lazy, size_limit=16), expected)


def test_without_clear_pixels_radar_and_without_radar_grey() -> None:
    cube = _cube(clear=False)
    picture = background_of(cube)
    assert (picture[:, :15] == 0).all() and (picture[:, 15:] == 255).all()
    other = _cube(("X1", "X2", "X3"))
    np.testing.assert_array_equal(background_of(other), picture)
    del other["sar"]
    assert (background_of(other) == PLAIN).all() and background_of(other).shape == (20, 30, 3)
    assert (background_of(_cube(), time="1999-01-01") == PLAIN).all()
