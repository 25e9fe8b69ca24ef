from __future__ import annotations

import csv
import json
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.windows import TimeWindow, complete, kept_times, time_windows

DAY = np.timedelta64(1, "D")
HALF_YEAR = 182 * DAY


def draw_times(seed: int) -> list[int]:
    """Draw times, few or many, some of them equal; hypothesis alone rarely makes full windows."""
    rng = np.random.default_rng(seed)
    return sorted(rng.integers(0, 60, rng.integers(0, 60)).tolist())


lists = st.integers(0, 2**31).map(draw_times) | st.lists(st.integers(0, 60), max_size=9).map(sorted)


def days(numbers) -> np.ndarray:
    return np.datetime64("2020-01-01", "ns") + np.asarray(numbers, int) * DAY


def slow_kept(times: list[int], step: int, start: int, end: int) -> list[int]:
    """Walk the steps one by one and look for the last observation of each."""
    kept = []
    for edge in range(start, end, step):
        inside = [i for i, t in enumerate(times) if edge <= t < min(edge + step, end)]
        kept += inside[-1:]
    return kept


def slow_windows(times, length, stride, fewest, most, triples) -> list[list[list[int]]]:
    """For every start look through all times for the members of every part."""
    found = []
    for first in range(0, len(times), stride):
        t0 = times[first]
        parts = [[i for i, t in enumerate(times) if i >= first and t0 <= t < t0 + length][:most]]
        if triples:
            parts.append([i for i, t in enumerate(times) if t0 - length <= t < t0][-most:])
            parts.append([i for i, t in enumerate(times) if t0 + length <= t < t0 + 2 * length][:most])
        if all(len(part) >= fewest for part in parts):
            found.append(parts)
    return found


@settings(deadline=None)
@given(lists, st.integers(1, 9), st.one_of(st.none(), st.integers(-5, 70)), st.integers(0, 70))
def test_kept_times_are_the_last_of_their_steps(numbers, step, start, end) -> None:
    origin = (numbers[0] if numbers else 0) if start is None else start
    kept = kept_times(
        days(numbers), step=step * DAY, start=None if start is None else days(start), end=days(end)
    )
    assert kept.tolist() == slow_kept(numbers, step, origin, end)
    assert kept_times(days(numbers), step=step * DAY).tolist() == (
        slow_kept(numbers, step, numbers[0], 99) if numbers else []
    )


@settings(deadline=None)
@given(lists, st.integers(1, 30), st.integers(1, 6), st.integers(0, 5), st.integers(0, 9), st.booleans())
def test_windows_hold_what_a_slow_search_finds(numbers, length, stride, fewest, more, triples) -> None:
    most = max(fewest + more, 1)
    windows = time_windows(
        days(numbers), length=length * DAY, stride=stride, fewest=fewest, most=most, triples=triples
    )
    places = np.arange(len(numbers)).tolist()
    parts = [[places[w.slice]] + ([places[w.previous], places[w.next]] if triples else []) for w in windows]
    assert parts == slow_windows(numbers, length, stride, fewest, most, triples)
    for window in windows:
        assert len(window) == window.stop - window.start
        assert triples or (window.previous is None and window.next is None)


def test_windows_do_not_change_when_a_series_grows() -> None:
    rng = np.random.default_rng(3)
    times = days(np.sort(rng.choice(900, 300, replace=False)))
    settings_ = {"length": HALF_YEAR, "stride": 5, "fewest": 20, "most": 92}
    whole = time_windows(times, **settings_)
    for count in (120, 201, 299):
        early = time_windows(times[:count], **settings_)
        done = [window for window in early if complete(window, times[:count])]
        assert done == [window for window in whole if window.stop < count]
        assert 0 < len(done) < len(early)
        assert all(window.stop == count for window in early[len(done) :])


def test_a_full_window_is_complete_even_at_the_end() -> None:
    times = days(range(5))
    (window,) = time_windows(times, length=30 * DAY, stride=9, fewest=1, most=5)
    assert not complete(window, times) and not complete(window, times, 6)
    assert complete(window, times, 5) and complete(window, [*times, days(5)])


def test_a_cut_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="terradelta"):
        windows = time_windows(days(range(40)), length=10 * DAY, stride=10, fewest=1, most=7)
        assert [len(window) for window in windows] == [7] * 4
        assert len(caplog.records) == 1 and caplog.messages[0].startswith("4 windows hold more than 7 ")
        time_windows(days(range(40)), length=10 * DAY, stride=10, fewest=1, most=10)
        assert len(caplog.records) == 1


def test_any_unit_of_time_gives_the_same() -> None:
    times = np.array(["2020-01-01T10", "2020-01-02T01", "2020-03-01T00"], "datetime64[h]")
    for unit in ("h", "s", "us", "ns"):
        assert kept_times(times.astype(f"datetime64[{unit}]"), step=np.timedelta64(86400, "s")).tolist() == [
            1,
            2,
        ]
    assert kept_times([], step=DAY).tolist() == []
    assert time_windows(np.array([], "datetime64[ns]"), length=DAY, stride=1, fewest=0, most=3) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"times": days([3, 1])}, "sort"),
        ({"times": np.array(["2020-01-01", "NaT"], "datetime64[ns]")}, "NaT"),
        ({"times": [1.0, 2.0]}, "datetime64"),
        ({"times": days([[1, 2]])}, "shape"),
        ({"length": np.timedelta64(0, "D")}, "length is"),
        ({"length": np.timedelta64(1, "Y")}, "days or shorter"),
        ({"length": 182}, "length is 182"),
        ({"stride": 0}, "stride is 0"),
        ({"fewest": -1}, "fewest is -1"),
        ({"most": 4}, "most is 4; give at least 5"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict, words: str) -> None:
    good = {"times": days(range(9)), "length": 3 * DAY, "stride": 1, "fewest": 5, "most": 9}
    with pytest.raises(InputError, match=words):
        time_windows(**(good | wrong))


def test_wrong_steps_and_moments_are_named() -> None:
    with pytest.raises(InputError, match="step is"):
        kept_times(days([1]), step=-DAY)
    with pytest.raises(InputError, match="start is"):
        kept_times(days([1]), step=DAY, start=np.datetime64("NaT"))
    with pytest.raises(InputError, match="end is 'soon'"):
        kept_times(days([1]), step=DAY, end="soon")


# ---- against what the published programs and lists say


def oracle(shared: Path) -> list[tuple[dict, np.ndarray, list]]:
    folder = shared / "reference" / "ercnn"
    found = []
    for entry in json.loads((folder / "windows.json").read_text()):
        stack = np.load(folder / f"stack_tiles_{entry['config']['stack']}.npz")
        times = np.round(stack["timestamps"] * 1e9).astype("datetime64[ns]")
        found.append((entry["config"], times, entry))
    return found


def differs(config: dict, entry: dict) -> bool:
    """Tell where we decide otherwise, and say why.

    Triples with a stride over one: the published previous window is drawn from the wrong place, ours goes by
    time. Triples that hold more than the most: the published current window is not cut, and the next one is
    drawn from what is left of twice the most; ours cuts each part by itself.
    """
    strides = config["triple"] and config["stride"] > 1
    return strides or (config["triple"] and config["Omega"] == 30)


def parts_of(window: TimeWindow) -> list[list[int] | None]:
    slices = [window.slice] if window.previous is None else [window.previous, window.slice, window.next]
    return [[part.start, part.stop] if part.stop > part.start else None for part in slices]


def windows_for(config: dict, times: np.ndarray) -> list[TimeWindow]:
    return time_windows(
        times, length=np.timedelta64(config["delta"], "s"), stride=config["stride"],
        fewest=config["omega"], most=config["Omega"], triples=config["triple"],
    )  # fmt: skip


def test_windows_equal_the_original_wherever_we_agree(shared: Path) -> None:
    agreed = [item for item in oracle(shared) if not differs(item[0], item[2])]
    assert len(agreed) == 12
    for config, times, entry in agreed:
        windows = windows_for(config, times)
        assert [parts_of(window) for window in windows] == entry["member_index_ranges"], config
        seconds = times.astype("datetime64[s]").astype(int)
        rows = [[i, seconds[w.start], seconds[w.stop - 1], len(w)] for i, w in enumerate(windows)]
        assert rows == entry["windows_list"], config
        for key, members in (entry.get("members_unix_full") or {}).items():
            window = windows[int(key)]
            slices = [window.previous, window.slice, window.next] if config["triple"] else [window.slice]
            assert [seconds[part].tolist() for part in slices] == members


def test_where_we_differ_triples_go_by_time(shared: Path) -> None:
    others = [item for item in oracle(shared) if differs(item[0], item[2])]
    assert len(others) == 5
    for config, times, entry in others:
        windows = windows_for(config, times)
        assert [parts_of(window) for window in windows] != entry["member_index_ranges"]
        length = np.timedelta64(config["delta"], "s")
        assert windows
        for window in windows:
            t0 = times[window.start]
            assert (times[window.previous] >= t0 - length).all() and (times[window.previous] < t0).all()
            assert (times[window.next] >= t0 + length).all() and (times[window.next] < t0 + 2 * length).all()
            assert window.previous.stop == window.start
            assert times[window.next.start - 1] < t0 + length
    # with a stride, what we give is every stride-th of what both give without
    (config, times, _), *_ = [item for item in others if item[0]["Omega"] == 92]
    every = windows_for(config | {"stride": 1}, times)
    assert windows_for(config, times) == [window for window in every if window.start % config["stride"] == 0]


def read_list(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    start, end = (
        np.array([row[name].replace(" ", "T") for row in rows], "datetime64[ns]")
        for name in ("Start Time", "End Time")
    )
    return start, end, np.array([int(row["# Observations"]) for row in rows])


def test_windows_equal_the_published_list_of_liege(shared: Path) -> None:
    start, end, count = read_list(shared / "reference/ercnn/published/windows_liege_s1s2_transfer.csv")
    assert len(start) == 540 and (np.diff(start) > 0 * DAY).all()
    windows = time_windows(start, length=HALF_YEAR, stride=1, fewest=1, most=92)
    assert len(windows) == 540
    whole = [number for number, window in enumerate(windows) if complete(window, start)]
    assert whole == list(range(459))
    found = windows[:459]
    np.testing.assert_array_equal(start[[window.start for window in found]], start[:459])
    np.testing.assert_array_equal(start[[window.stop - 1 for window in found]], end[:459])
    np.testing.assert_array_equal([len(window) for window in found], count[:459])
    # the other rows reach into times that are known as ends only: a few of them are in no row
    times = np.union1d(start, end)
    np.testing.assert_array_equal(
        kept_times(times, step=2 * DAY, start=np.datetime64("2017-01-01")), range(572)
    )
    windows = time_windows(times, length=HALF_YEAR, stride=1, fewest=1, most=92)[:540]
    np.testing.assert_array_equal(times[[window.stop - 1 for window in windows]], end)
    missing = count - [len(window) for window in windows]
    assert np.bincount(missing[459:]).tolist() == [8, 8, 65]


def test_a_day_more_or_less_would_not_give_the_list_of_liege(shared: Path) -> None:
    start, end, _ = read_list(shared / "reference/ercnn/published/windows_liege_s1s2_transfer.csv")
    for length, equal in ((181 * DAY, 360), (183 * DAY, 270)):
        windows = time_windows(start, length=length, stride=1, fewest=1, most=99)[:459]
        assert (start[[window.stop - 1 for window in windows]] == end[:459]).sum() == equal


def test_windows_equal_the_copied_part_of_the_list_of_liege(shared: Path) -> None:
    (path,) = (shared / "data" / "ercnn_liege_windows").glob("*.csv")
    start, end, count = read_list(path)
    windows = time_windows(start, length=HALF_YEAR, stride=1, fewest=1, most=92)
    whole = [window for window in windows if complete(window, start)]
    # the window of row 59 is whole too, but only the rows that are not here tell
    assert len(whole) == 58
    found = windows[:59]
    np.testing.assert_array_equal(start[[window.stop - 1 for window in found]], end[:59])
    np.testing.assert_array_equal([len(window) for window in found], count[:59])


def test_the_published_list_of_rotterdam_is_plausible(shared: Path) -> None:
    """That list was made on a clock of two days, of which a start counted from an observation knows nothing.

    So a window is opened by a marker at every tick of such a clock; the members known are those that the list
    shows as a start or an end, too few for the counts.
    """
    start, end, count = read_list(shared / "reference/ercnn/published/windows_rotterdam_s1s2.csv")
    times = np.union1d(start, end)
    kept = kept_times(times, step=2 * DAY, start=np.datetime64("2017-01-01"))
    assert len(kept) == len(times)
    clock = np.datetime64("2017-07-03T08", "ns") + 2 * DAY * np.arange(560)
    rows = Counter(zip(start.tolist(), end.tolist(), strict=True))
    for length, equal in ((HALF_YEAR, 463), (HALF_YEAR + np.timedelta64(6, "h"), 489)):
        found: Counter = Counter()
        for tick in clock:
            later = np.concatenate([[tick], times[times >= tick]])
            window = time_windows(later, length=length, stride=len(later), fewest=1, most=99)[0]
            if len(window) > 1:
                found[later[1].item(), later[window.stop - 1].item()] += 1
        assert sum((rows & found).values()) == equal
    windows = {times[w.start]: w for w in time_windows(times, length=HALF_YEAR, stride=1, fewest=1, most=99)}
    known = np.array([len(windows[one]) for one in start])
    assert (known < count).all() and count.max() <= 92
