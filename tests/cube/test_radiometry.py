"""What radar values measure, and which values per time are estimates."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr

from terradelta.cube import (
    append,
    append_all,
    check_cube,
    create_cube,
    geobox_of,
    open_cube,
    summary,
    write_cube,
)
from terradelta.cube.append import appending
from terradelta.errors import ConflictError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from terradelta.cube import SarAcquisition

    Make = Callable[..., SarAcquisition]

RTC, ELLIPSOID = {"radiometry": "gamma0-rtc"}, {"radiometry": "sigma0-ellipsoid"}


def older(cube: Path) -> None:
    """Bring a cube into the state in which it was before the columns came."""
    for name in ("radiometry", "estimated"):
        shutil.rmtree(cube / "sar" / name)


def columns(cube: Path) -> list[tuple[str, str]]:
    sar = open_cube(cube)["sar"]
    return list(zip(sar["radiometry"].values, sar["estimated"].values, strict=True))


def test_both_come_back_and_are_summed_up(cube: Path, sar: Make) -> None:
    append(cube, sar("2020-01-01", **RTC, estimated="incidence_angle,heading"))
    append(cube, sar("2020-01-07", 1, **RTC, estimated="heading"))
    append(cube, sar("2020-01-04", 2))
    assert columns(cube) == [("gamma0-rtc", "incidence_angle,heading"), ("", ""), ("gamma0-rtc", "heading")]
    (track,) = summary(open_cube(cube)).tracks
    assert track.radiometries == ("gamma0-rtc",)
    assert track.estimates == (("heading", 2), ("incidence_angle", 1))
    text = summary(open_cube(cube)).render()
    assert "radiometry  gamma0-rtc\n" in text
    assert "estimated   heading of 2 dates, incidence_angle of 1 dates" in text
    assert check_cube(cube) == []


def test_older_cubes_go_on(cube: Path, sar: Make) -> None:
    first, second = sar("2020-01-01"), sar("2020-01-07", 1)
    append_all(cube, [first, second])
    older(cube)
    assert columns(cube) == [("", ""), ("", "")]
    assert check_cube(cube) == []
    assert "radiometry" not in summary(open_cube(cube)).render()
    assert append(cube, sar("2020-01-13", 2, **RTC, estimated="heading")) == "added"
    assert columns(cube) == [("", ""), ("", ""), ("gamma0-rtc", "heading")]
    assert check_cube(cube) == []


def test_what_an_older_version_appended_has_the_fill(cube: Path, sar: Make) -> None:
    append(cube, sar("2020-01-01", **RTC))
    kept = {name: (cube / "sar" / name, cube.parent / name) for name in ("radiometry", "estimated")}
    for there, aside in kept.values():
        shutil.copytree(there, aside)
    append(cube, sar("2020-01-07", 1))
    for there, aside in kept.values():
        shutil.rmtree(there)
        shutil.copytree(aside, there)
        assert zarr.open_array(there).shape == (1,)
    assert columns(cube) == [("gamma0-rtc", ""), ("", "")]
    append(cube, sar("2020-01-13", 2, **RTC))
    assert columns(cube) == [("gamma0-rtc", ""), ("", ""), ("gamma0-rtc", "")]


def test_the_same_image_known_better_is_skipped(cube: Path, sar: Make) -> None:
    append(cube, sar("2020-01-01", heading=np.nan))
    older(cube)
    better = {"heading": -12.9, "estimated": "heading", **RTC}
    assert append(cube, sar("2020-01-01", **better)) == "skipped"
    assert append(cube, sar("2020-01-01", heading=np.nan)) == "skipped"
    with pytest.raises(ConflictError, match=r"with heading nan, new is -12.9"):
        append(cube, sar("2020-01-01", heading=-12.9))
    with pytest.raises(ConflictError, match=r"with incidence_angle 39.2.*, new is 33"):
        append(cube, sar("2020-01-01", incidence_angle=33.0, **better))


def test_an_estimate_does_not_stand_against_a_measured_value(cube: Path, sar: Make) -> None:
    append(cube, sar("2020-01-01", heading=-12.9, estimated="heading"))
    assert append(cube, sar("2020-01-01", heading=-12.5)) == "skipped"


def test_radiometries_do_not_mix_unasked(cube: Path, sar: Make) -> None:
    append_all(cube, [sar("2020-01-01"), sar("2020-01-07", 1, **RTC), sar("2020-01-13", 2)])
    refusal = r"S1A orbit 37 is sigma0-ellipsoid, the cube holds gamma0-rtc; .*mixed=True"
    with pytest.raises(ConflictError, match=refusal):
        append(cube, sar("2020-01-19", 3, **ELLIPSOID))
    with pytest.raises(ConflictError, match="with radiometry gamma0-rtc, new is sigma0-ellipsoid"):
        append(cube, sar("2020-01-07", 1, **ELLIPSOID))
    assert append(cube, sar("2020-01-19", 3, **ELLIPSOID), mixed=True) == "added"
    assert append(cube, sar("2020-01-25", 4, **ELLIPSOID)) == "added"
    assert "radiometry  gamma0-rtc, sigma0-ellipsoid" in summary(open_cube(cube)).render()


def test_one_run_cannot_mix_either(cube: Path, sar: Make) -> None:
    with pytest.raises(ConflictError, match="cube of its own"):
        append_all(cube, [sar("2020-01-01", **RTC), sar("2020-01-07", 1, **ELLIPSOID)])
    assert columns(cube) == [("gamma0-rtc", "")]


def test_a_refused_image_decides_nothing(cube: Path, sar: Make) -> None:
    empty = np.full((2, 30, 40), np.nan, np.float32)
    with appending(cube) as appender:
        with pytest.raises(InputError, match="no valid pixel"):
            appender.add(sar("2020-01-01", backscatter=empty, **ELLIPSOID))
        assert appender.add(sar("2020-01-07", 1, **RTC)) == "added"


def test_a_tree_that_mixes_is_written_as_it_is(cube: Path, sar: Make, tmp_path: Path) -> None:
    append_all(cube, [sar("2020-01-01", **RTC), sar("2020-01-07", 1, **ELLIPSOID)], mixed=True)
    write_cube(open_cube(cube), tmp_path / "copy.zarr")
    assert columns(tmp_path / "copy.zarr") == columns(cube)
    create_cube(tmp_path / "other.zarr", geobox_of(open_cube(cube)))
    append(tmp_path / "other.zarr", sar("2021-01-01", radiometry="beta0"))
    one = open_cube(cube).map_over_datasets(lambda part: part.isel(time=[0]) if "time" in part.dims else part)
    with pytest.raises(ConflictError, match="is gamma0-rtc, the cube holds beta0"):
        write_cube(one, tmp_path / "other.zarr")


def test_estimates_must_be_values_per_time(cube: Path, sar: Make) -> None:
    with pytest.raises(InputError, match="estimated names colour; expected some of platform"):
        sar("2020-01-01", estimated="heading,colour")
    append(cube, sar("2020-01-01", estimated="heading"))
    zarr.open_array(cube / "sar" / "estimated")[0] = "colour"
    assert check_cube(cube) == ["sar/estimated names 'colour', which is no value per time"]
