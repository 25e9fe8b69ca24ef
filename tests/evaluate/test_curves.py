from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terradelta.errors import InputError
from terradelta.evaluate.curves import RocStream, balanced_pixels, split_images
from terradelta.evaluate.scores import auc

_PIXEL = st.tuples(
    st.one_of(st.sampled_from([0.0, 1.0, 2.5, -3.0]), st.floats(-50, 50, width=32)), st.booleans()
)


def _by_pairs(scores: list[float], changed: list[bool]) -> float:
    wins = pairs = 0.0
    for one, is_changed in zip(scores, changed, strict=True):
        for other, other_changed in zip(scores, changed, strict=True):
            if is_changed and not other_changed:
                pairs += 1
                wins += 1.0 if one > other else 0.5 if one == other else 0.0
    return wins / pairs


@given(st.lists(_PIXEL, min_size=2, max_size=20), st.sampled_from([0, 5, 1000]), st.sampled_from([10, 20]))
@settings(max_examples=30, deadline=None)
def test_area_equals_all_pairs_within_its_bound(pixels: list, exact: int, bits: int) -> None:
    scores, changed = [float(np.float32(one[0])) for one in pixels], [one[1] for one in pixels]
    if len(set(changed)) < 2:
        return
    stream = RocStream(exact=exact, bits=bits)
    for part in np.array_split(np.arange(len(pixels)), 3):
        stream.add(np.array(scores)[part], np.array(changed)[part])
    area = stream.area()
    assert abs(area.auc - _by_pairs(scores, changed)) <= area.bound + 1e-12
    if exact == 1000:
        assert area.bound == 0
    roc = stream.curve()
    steps = np.diff(roc.false) * (roc.true[1:] + roc.true[:-1]) / 2
    assert steps.sum() == pytest.approx(area.auc, abs=1e-12)
    assert roc.false[-1] == roc.true[-1] == 1 and roc.false[0] == roc.true[0] == 0


def test_histograms_come_near_in_memory_that_does_not_grow() -> None:
    rng = np.random.default_rng(0)
    stream, kept = RocStream(exact=10_000), RocStream(exact=10**7)
    sizes = []
    for _ in range(6):
        scores = rng.gamma(2, 1, (200, 200)).astype(np.float32)
        changed = rng.random((200, 200)) < 0.05
        scores[changed] += 1
        scores[0, 0] = np.nan
        stream.add(scores, changed)
        kept.add(scores, changed)
        sizes.append(stream.everything._counts.nbytes)
    found, true = stream.area(), kept.area()
    assert true.bound == 0 and 0 < found.bound < 1e-3
    assert abs(found.auc - true.auc) <= found.bound
    assert sizes[-1] < 2**20 and not stream.everything._kept
    grid = np.linspace(0, 1, 21)
    np.testing.assert_allclose(stream.curve().true_at(grid), kept.curve().true_at(grid), atol=2e-3)


def test_exact_ranks_equal_scikit_learn() -> None:
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(1)
    scores = rng.integers(0, 50, 3000).astype(np.float32)
    changed = rng.random(3000) < 0.1 + scores / 100
    stream = RocStream()
    stream.add(scores, changed)
    assert stream.area().auc == pytest.approx(auc(changed, scores), abs=1e-12)
    false, true, _ = roc_curve(changed, scores, drop_intermediate=False)
    np.testing.assert_allclose(stream.curve().false, false)
    np.testing.assert_allclose(stream.curve().true, true)


def test_balanced_pixels_are_as_many_of_each_and_reproducible() -> None:
    rng = np.random.default_rng(2)
    changed, valid = rng.random((30, 20)) < 0.2, rng.random((30, 20)) < 0.7
    places = balanced_pixels(changed, random.Random(4), valid)
    assert (places == balanced_pixels(changed, random.Random(4), valid)).all()
    flat = changed.ravel()
    assert flat[places[::2]].all() and not flat[places[1::2]].any() and valid.ravel()[places].all()
    np.testing.assert_array_equal(places[::2], np.flatnonzero(changed & valid))
    many = balanced_pixels(np.eye(3, dtype=bool), random.Random(0))
    assert set(many[1::2]) <= {1, 2, 3, 5, 6, 7}
    assert balanced_pixels(np.zeros((3, 3), bool), random.Random(0)).size == 0
    assert balanced_pixels(np.ones((3, 3), bool), random.Random(0)).size == 0


def test_split_keeps_images_whole() -> None:
    train, test = split_images(7, random.Random(1))
    assert sorted(train + test) == list(range(7)) and len(test) == 2
    assert [len(side) for side in split_images(2, random.Random(0))] == [1, 1]
    with pytest.raises(InputError, match="1 image"):
        split_images(1, random.Random(0))


def test_refusals() -> None:
    stream = RocStream()
    stream.add([1.0, 2.0], [True, True])
    with pytest.raises(InputError, match="2 pixels are changed and 0 unchanged"):
        stream.area()
    with pytest.raises(InputError, match="differ in shape"):
        stream.add([1.0], [True, False])
