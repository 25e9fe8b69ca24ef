"""Weak labels: shares of tiles, and what is refused."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.urban.labels.weak import WeakLabels
from terradelta.windows import Tile, TileLists

START, END = np.datetime64("2017-01-01"), np.datetime64("2020-12-31")
LISTS = TileLists((Tile(0, 0), Tile(2, 3)), (Tile(0, 3),), (Tile(2, 0),))


def labels(**given: Any) -> WeakLabels:
    """Make labels of 3 x 4 tiles of 8 with a rest, changes in some, one corner not labelled."""
    truth = np.zeros((29, 37), np.uint8)
    truth[4:10, 2:20] = 1
    truth[16:22, 24:32] = 1
    truth[:4, 15:18] = 255
    return WeakLabels(**({"truth": truth, "start": START, "end": END, "tile": 8} | given))


def test_shares_of_tiles() -> None:
    made = labels(versions=(LISTS,))
    made.check()
    expected = {}
    for tile in made.grid.tiles:
        part = made.truth[made.grid.part(tile)]
        if (part != 255).all():
            expected[tile] = float((part == 1).sum() / part.size)
    assert made.shares == expected
    assert len(expected) == 10 and Tile(0, 1) not in expected and Tile(0, 2) not in expected
    known = made.truth[made.truth != 255]
    assert made.changed_share == (known == 1).mean()
    assert made.grid.rows == 3 and made.grid.columns == 4


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"truth": np.zeros((16, 16))}, r"truth is float64 of shape \(16, 16\); give uint8"),
        ({"truth": np.zeros((1, 16, 16), np.uint8)}, r"shape \(1, 16, 16\)"),
        ({"truth": np.full((16, 16), 2, np.uint8)}, "truth holds 2; give 1 = changed, 0 = not, 255"),
        (
            {"start": END, "end": START},
            "period from 2020-12-31 to 2017-01-01 is empty; correct its start or end",
        ),
        ({"end": np.datetime64("NaT")}, "period from 2017-01-01 to NaT is empty"),
        ({"tile": 30}, "tile of 30 x 30 is larger than the area of 29 x 37"),
    ],
)
def test_what_are_no_labels(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        labels(**given)
    assert "\n" not in str(error.value)


def filled(inside: int, outside: int) -> np.ndarray:
    truth = np.full((29, 37), outside, np.uint8)
    truth[3:9, 3:9] = inside
    return truth


def scattered() -> np.ndarray:
    truth = filled(1, 255)
    truth[3, 3] = 0
    return truth


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"truth": filled(0, 0)}, "no pixel has changed.*check the labels, their period"),
        ({"truth": filled(0, 255)}, "no pixel has changed"),
        ({"truth": filled(1, 255)}, "every labelled pixel has changed.*label places without change too"),
        ({"truth": scattered()}, "no tile of 8 x 8 pixels is wholly labelled; label larger areas"),
        (
            {"versions": (LISTS, TileLists((Tile(0, 0),), (Tile(0, 0),)))},
            "V2: tiles 0:0 are among both train",
        ),
        ({"versions": (TileLists((Tile(0, 0),), (Tile(3, 0),)),)}, "V1: tiles 3:0 do not exist"),
        ({"versions": (TileLists((Tile(0, 0),), (Tile(0, 1),)),)}, "V1: tiles 0:1 are not wholly labelled"),
        ({"versions": (TileLists((Tile(0, 3),), ()),)}, "V1: no tile to train with has a change"),
        ({"versions": (TileLists((), ()),)}, "V1: no tile to train with has a change"),
    ],
)
def test_what_nothing_can_be_learnt_from(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as error:
        labels(**given).check()
    assert "\n" not in str(error.value)


def test_period_and_data(caplog: pytest.LogCaptureFixture) -> None:
    days = np.datetime64("2017-01-05T10:00", "ns") + np.arange(0, 1440, 5) * np.timedelta64(24, "h")
    made = labels()
    with caplog.at_level(logging.WARNING):
        made.check_period(days)
        assert not caplog.records
        made.check_period(days[::-1][:100])
        assert "changes outside cannot be seen" in caplog.text
        labels(start=days[0], end=days[0]).check_period(days)
    for start, end in (("2012-01-01", "2017-01-04"), ("2021-01-01", "2022-01-01")):
        with pytest.raises(InputError, match=f"for {start} to {end}, the images are of 2017-01-05 to 2020"):
            labels(start=np.datetime64(start), end=np.datetime64(end)).check_period(days)
    with pytest.raises(InputError, match=r"2018-01-01 to 2018-02-01.*none lies in that period"):
        labels(start=np.datetime64("2018-01-01"), end=np.datetime64("2018-02-01")).check_period(
            days[(days < np.datetime64("2018")) | (days > np.datetime64("2019"))]
        )
    with pytest.raises(InputError, match="there are no observations"):
        made.check_period(np.array([], "datetime64[ns]"))
