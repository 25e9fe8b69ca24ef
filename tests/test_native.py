"""Compiled steps and threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info

from terradelta import native
from terradelta.native import compiled, cores, in_threads

SOURCE = ("terradelta.sar", "variation.cpp")


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_without_a_compiler_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert compiled(*SOURCE) is None


def test_code_that_does_not_compile_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled("terradelta.sar", "variation.py") is None
    assert not list((tmp_path / "terradelta").iterdir())


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERRADELTA_NATIVE", "0")
    assert compiled(*SOURCE) is None


def test_it_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if compiled(*SOURCE) is None:
        pytest.skip("there is no C++ compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = compiled(*SOURCE)
    assert first is not None
    monkeypatch.setattr(native, "_compile", None)
    again = compiled(*SOURCE)
    assert again is not None and again._name == first._name


@pytest.mark.parametrize(("wish", "number"), [("3", 3), ("0", 1), ("2,1", 2)])
def test_the_environment_says_how_many_threads(
    wish: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", wish)
    assert cores() == number


def test_items_go_side_by_side_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    meeting = threading.Barrier(2, timeout=10)

    def one(item: int) -> int:
        meeting.wait()
        time.sleep(0.02 * (item == 0))
        return -item

    assert in_threads(one, [0, 1, 2, 3]) == [0, -1, -2, -3]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert in_threads(lambda _: threading.current_thread(), [0, 1]) == [threading.main_thread()] * 2


def test_matrix_products_take_one_thread_meanwhile_and_as_many_as_before_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = blas_threads()

    def nested(_: int) -> set[int]:
        return set().union(*in_threads(lambda _: blas_threads(), [0, 1]))

    assert set().union(*in_threads(nested, [0, 1])) == {1}
    assert blas_threads() == before
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 // item, [1, 0])
    assert blas_threads() == before
