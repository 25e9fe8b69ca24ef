"""Block by block gives what one block gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terradelta import detect
from terradelta.errors import InputError
from terradelta.types import Size
from terradelta.windows.nodes import Nodes
from terradelta.workflows.config import DetectSettings, load_settings
from terradelta.workflows.detect.memory import bytes_per_pixel, choose, most_workers
from terradelta.workflows.detect.methods import halo

QUICK = {"history": 6, "fewest": 3, "tv_iterations": 15, "degree": 1, "fit_iterations": 4}
TOLERANCE = 0.02
"""Standard deviations or dB: what despeckling with a halo of 16 pixels may differ."""


@pytest.fixture(scope="module")
def whole(memory):
    """One block, several nodes."""
    return {
        method: detect(memory, method=method, robust=QUICK, neighbourhood=40)["combined"].compute()
        for method in ("robust", "logratio", "omnibus")
    }


@pytest.mark.parametrize("method", ["robust", "logratio", "omnibus"])
def test_small_blocks_give_the_same(memory, cut, whole, method):
    cut(36)
    found = detect(memory, method=method, robust=QUICK, neighbourhood=40)["combined"]
    apart = np.abs(found["score"].values - whole[method]["score"].values)
    if method == "omnibus":
        assert apart.max() == 0
    # a pixel close to the threshold may take another image for history, and so differ by more
    assert np.percentile(apart, 99) < TOLERANCE
    assert (found["change"].values != whole[method]["change"].values).mean() < 0.002


ORBIT = "orbit-037-descending"


def test_blocks_leave_no_seams(memory, cut):
    """Of a single date, pixels at the borders of blocks differ no more than the tolerance."""
    told = {"robust": QUICK, "neighbourhood": 40, "time": "last"}
    whole = detect(memory, **told)[ORBIT]
    cut(27)
    pieces = detect(memory, **told)[ORBIT]
    border = np.zeros(whole["score"].shape, bool)
    border[26:-1:27], border[27::27], border[:, 26:-1:27], border[:, 27::27] = True, True, True, True
    for name in ("score", "difference", "expected", "sigma"):
        apart = np.abs(pieces[name].values - whole[name].values)
        assert apart[..., border].max() < TOLERANCE
        assert apart[..., ~border].max() < TOLERANCE


def test_neighbourhoods_leave_no_seams(memory):
    """What many nodes change against one varies across the edges of their cells as it does elsewhere."""
    one, many = (
        detect(memory, robust=QUICK, time="last", neighbourhood=side)[ORBIT]["expected"].values
        for side in (1024, 32)
    )
    steps = np.abs(np.diff(many - one, axis=-1))
    nodes = Nodes(Size(*one.shape[1:]), 32)
    edges = sorted({nodes.cell(node)[1].start - 1 for node in range(len(nodes))} - {-1})
    assert len(edges) == nodes.shape.x - 1 >= 2
    assert steps.max() > 0
    assert np.median(steps[..., edges]) < 2 * np.median(np.delete(steps, edges, axis=-1))


@pytest.mark.slow
def test_two_processes_give_the_same(cube, cut):
    cut(50)
    alone = detect(cube, robust=QUICK, neighbourhood=50, end="2023-05-01")
    cut(50, workers=2)
    equal = detect(cube, robust=QUICK, neighbourhood=50, end="2023-05-01", workers=2)
    for name in alone["combined"].data_vars:
        np.testing.assert_array_equal(alone["combined"][name].values, equal["combined"][name].values)


def test_neighbourhoods_hardly_matter_where_the_weather_is_the_same(memory, whole):
    one = detect(memory, robust=QUICK)["combined"]
    assert (one["change"].values != whole["robust"]["change"].values).mean() < 0.02


sizes = st.builds(Size, st.integers(1, 200), st.integers(1, 200))


@given(sizes, st.integers(8, 400))
def test_cells_cover_the_raster_once(size, spacing):
    nodes = Nodes(size, spacing)
    count = np.zeros(size, int)
    for node in range(len(nodes)):
        count[nodes.cell(node)] += 1
    assert (count == 1).all()


@given(sizes, st.integers(8, 400), st.data())
def test_weights_sum_to_one_and_do_not_depend_on_the_part(size, spacing, data):
    nodes = Nodes(size, spacing)
    part = tuple(
        slice(start, data.draw(st.integers(start + 1, length)))
        for length in size
        for start in [data.draw(st.integers(0, length - 1))]
    )
    which, weights = nodes.weights(part)
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-5)
    assert weights.min() >= 0
    all_nodes, everywhere = nodes.weights((slice(0, size.y), slice(0, size.x)))
    assert all_nodes.tolist() == list(range(len(nodes)))
    np.testing.assert_allclose(weights, everywhere[which][:, part[0], part[1]], atol=1e-5)
    others = np.setdiff1d(all_nodes, which)
    assert not everywhere[others][:, part[0], part[1]].any()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.data())
def test_nodes_around(rows, columns, reach, data):
    nodes = Nodes(Size(rows * 10, columns * 10), 10)
    node = data.draw(st.integers(0, len(nodes) - 1))
    near = [
        n
        for n in range(len(nodes))
        if abs(n // columns - node // columns) <= reach and abs(n % columns - node % columns) <= reach
    ]
    assert nodes.around(node, reach) == near


def settings(**given):
    return load_settings(DetectSettings, given={"cube": "a", "out": "b", **given})


@given(
    st.sampled_from(["robust", "logratio", "omnibus"]),
    st.integers(450, 8000),
    st.integers(1, 16),
    st.builds(Size, st.integers(1, 5000), st.integers(1, 5000)),
)
def test_blocks_fit_into_the_memory(method, mebibytes, most, size):
    told = settings(method=method, memory=f"{mebibytes} MiB")
    workers, block = choose(told, size, 30, 2, most=most)
    assert 1 <= workers <= most
    assert block % 32 == 0
    read = (block + 2 * halo(told)) ** 2 * bytes_per_pixel(told, 30, 2)
    assert workers * read < mebibytes * 2**20
    assert block < max(size) + 32 or block <= 256


def test_more_memory_means_more_processes():
    told = [settings(memory=f"{m} MiB") for m in (400, 1024, 2048, 8192)]
    chosen = [choose(one, Size(4000, 4000), 30, 2, most=4)[0] for one in told]
    assert chosen == sorted(chosen)
    assert (chosen[0], chosen[-1]) == (1, 4)
    assert most_workers(settings(workers=7), Size(300, 100)) == 2


def test_too_little_memory_is_one_clear_line(cube):
    with pytest.raises(
        InputError, match=r"memory is 256 MiB, but the smallest blocks need at least \d+ MiB"
    ) as error:
        detect(cube, memory="256 MiB")
    assert "\n" not in str(error.value)
    needed = int(str(error.value).split("at least ")[1].split(" MiB")[0])
    assert choose(settings(memory=f"{needed} MiB"), Size(900, 900), 30, 2, most=1)[1] == 64
    with pytest.raises(InputError, match=r"blocks of the unfinished run \(512 pixels\)"):
        choose(settings(memory="450 MiB"), Size(900, 900), 30, 2, most=2, block=512)
