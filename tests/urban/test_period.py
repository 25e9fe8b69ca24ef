"""The whole period in one map, against a loop over pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from terradelta.errors import InputError
from terradelta.urban import period, whole_period

DAYS = np.array(
    ["2020-01-05T18:00", "2020-02-01", "2020-03-07", "2020-04-01", "2020-04-02"], "datetime64[ns]"
)


def _maps(seed: int = 0, height: int = 9, width: int = 11) -> xr.Dataset:
    random = np.random.default_rng(seed)
    mean = random.integers(0, 8, (len(DAYS), height, width)).astype(np.float32) / 8
    mean[random.random(mean.shape) < 0.1] = np.nan
    mean[:, 2, 3] = np.nan
    mean[:, 4, 4] = 0.0
    spread = random.random(mean.shape, dtype=np.float32)
    dims = ("window", "y", "x")
    return xr.Dataset(
        {"mean": (dims, mean), "spread": (dims, spread)},
        {"time": ("window", DAYS), "y": np.arange(height) * -10.0, "x": np.arange(width) * 10.0},
    )


def _slow(maps: xr.Dataset, threshold: float) -> dict[str, np.ndarray]:
    """Go through the pixels one by one."""
    days = [(day - np.datetime64("1970-01-01", "ns")) // np.timedelta64(1, "D") for day in DAYS]
    shape = maps["mean"].shape[1:]
    found = {
        name: np.zeros(shape) for name in ("score", "date", "count", "change", "first", "last", "spread")
    }
    for y, x in np.ndindex(shape):
        series = [(float(v), k) for k, v in enumerate(maps["mean"].values[:, y, x]) if not np.isnan(v)]
        above = [k for value, k in series if value > threshold]
        if series:
            value, best = max(series, key=lambda pair: (pair[0], -pair[1]))
            row = (value, days[best], len(above), int(bool(above)), maps["spread"].values[best, y, x])
        else:
            row = (np.nan, -1, 65535, 255, np.nan)
        for name, one in zip(("score", "date", "count", "change", "spread"), row, strict=True):
            found[name][y, x] = one
        found["first"][y, x] = days[above[0]] if above else -1
        found["last"][y, x] = days[above[-1]] if above else -1
    return found


@pytest.mark.parametrize("lazy", [False, True])
def test_layers_do_not_call_themselves_what_the_windows_are(lazy: bool) -> None:
    maps = _maps()
    maps["mean"].attrs["long_name"] = "change probability, mean over the networks"
    found = whole_period(maps.chunk({"window": 1}) if lazy else maps)
    names = {name: layer.attrs["long_name"] for name, layer in found.items()}
    assert len(set(names.values())) == 7
    assert names["date"] == "Middle of the window with the highest value."


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("threshold", [0, 0.5, 0.875])
def test_equal_to_a_loop_over_pixels(lazy: bool, threshold: float) -> None:
    maps = _maps()
    given = maps.chunk({"window": 1, "y": 4, "x": 5}) if lazy else maps
    found = whole_period(given, threshold, block=6)
    assert bool(found.chunks) == lazy
    for name, expected in _slow(maps, threshold).items():
        np.testing.assert_array_equal(found[name], expected.astype(found[name].dtype), name)


def test_types_and_units() -> None:
    found = whole_period(_maps())
    types = {name: str(found[name].dtype) for name in found.data_vars}
    assert types == {
        "score": "float32", "date": "int32", "count": "uint16", "change": "uint8", "first": "int32",
        "last": "int32", "spread": "float32",
    }  # fmt: skip
    lazy = whole_period(_maps().chunk({"window": 2}))
    assert {name: str(lazy[name].dtype) for name in lazy.data_vars} == types
    assert {found[name].attrs["units"] for name in ("date", "first", "last")} == {"days since 1970-01-01"}
    np.testing.assert_array_equal(found["y"], _maps()["y"])


def test_one_statistic_alone() -> None:
    maps = _maps()
    found = whole_period(maps["mean"])
    assert "spread" not in found
    np.testing.assert_array_equal(found["score"], whole_period(maps)["score"])


def test_maps_on_disk_are_reduced_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    reduce = period._reduce

    def watched(maps: xr.Dataset, *more: Any) -> xr.Dataset:
        shapes.append(maps["mean"].shape)
        return reduce(maps, *more)

    monkeypatch.setattr(period, "_reduce", watched)
    found = whole_period(_maps(height=20, width=30).chunk({"window": 1, "y": 10, "x": 10}), block=10)
    assert not any(np.prod(shape) for shape in shapes)
    found.compute(scheduler="synchronous")
    assert [shape for shape in shapes if np.prod(shape)] == [(5, 10, 10)] * 6


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_threshold_is_a_probability(threshold: float) -> None:
    with pytest.raises(InputError, match="threshold is"):
        whole_period(_maps(), threshold)


def test_no_window() -> None:
    with pytest.raises(InputError, match="no window"):
        whole_period(_maps().isel(window=slice(0)))
