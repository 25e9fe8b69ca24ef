"""Changes put into a series: from a date on, gradual, ending."""

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.simulate.injected import Recipe, change_share, inject_series

DAYS = np.array(["2024-05-01", "2024-05-07", "2024-05-13", "2024-05-19", "2024-05-25"], "datetime64[ns]")
ONE = Recipe(count=(1, 1), box=16)


def series(seed=0, bands=2, size=40):
    rng = np.random.default_rng(seed)
    return rng.normal(-10, 1, (len(DAYS), bands, size, size)).astype(np.float32)


GROUND = np.ones((40, 40), bool)


def test_change_lasts_from_its_date_on():
    images = series()
    found = inject_series(images, DAYS, GROUND, ONE, seed=1, date="2024-05-13")
    assert found.share.tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_array_equal(found.images[:2], images[:2])
    for time in (2, 3, 4):
        np.testing.assert_array_equal((found.images[time] != images[time]).any(axis=0), found.mask > 0)
    np.testing.assert_allclose(found.changes[0].change, -2.5, atol=1e-5)
    assert found.changes[0].pixels == (found.mask == 1).sum()


def test_change_ends_at_a_date():
    images = series()
    found = inject_series(images, DAYS, GROUND, ONE, seed=1, date="2024-05-07", until="2024-05-19")
    assert found.share.tolist() == [0, 1, 1, 0, 0]
    np.testing.assert_array_equal(found.images[3:], images[3:])


def test_gradual_change_rises_linearly():
    images = series()
    found = inject_series(images, DAYS, GROUND, ONE, seed=1, date="2024-05-01", gradual_days=24)
    np.testing.assert_allclose(found.share, [0, 0.25, 0.5, 0.75, 1])
    inside = found.mask > 0
    step = (found.images.astype(float) - images)[:, :, inside].mean(axis=(1, 2))
    np.testing.assert_allclose(step, -2.5 * found.share, atol=1e-5)
    np.testing.assert_allclose(found.changes[0].change, -2.5, atol=1e-5)


def test_share_counts_parts_of_a_day_and_any_order():
    times = np.array(["2024-05-02T12:00", "2024-05-01T18:00", "2024-04-30"], "datetime64[m]")
    np.testing.assert_allclose(change_share(times, "2024-05-01T06:00", gradual_days=2), [0.625, 0.25, 0])


def test_targets_are_asked_only_where_the_change_shows():
    images, asked = series(bands=1), []

    def targets(time):
        asked.append(time)
        return np.random.default_rng(time).normal(-15 - time, 0.5, (1, 4000))

    recipe = Recipe(kind="statistical", count=(1, 1), box=38)
    found = inject_series(images, DAYS, GROUND, recipe, seed=1, date="2024-05-19", targets=targets)
    assert asked == [3, 4]
    inside = found.mask > 0
    for time in asked:
        assert abs(found.images[time, 0][inside].mean() + 15 + time) < 0.2


def test_gaussian_draws_differ_between_dates_and_texture_moves_the_same_way():
    images = series(bands=1)
    found = inject_series(
        images, DAYS, GROUND, Recipe("gaussian", count=(1, 1), box=30), seed=1, date="2024-05-19"
    )
    inside = found.mask > 0
    a, b = (found.images[time, 0][inside] for time in (3, 4))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.3
    recipe = Recipe("texture", count=(1, 1), box=16, texture_from="anywhere")
    found = inject_series(images, DAYS, GROUND, recipe, seed=1, date="2024-05-19")
    y, x = np.argwhere(found.mask)[0]
    places = [np.argwhere(images[time, 0] == found.images[time, 0, y, x])[0].tolist() for time in (3, 4)]
    assert places[0] == places[1] != [y, x]


@pytest.mark.parametrize("kind", ["offset", "gaussian", "texture"])
def test_no_data_at_a_date_stays(kind):
    images = series()
    images[3, 0, 10:30] = np.nan
    recipe = Recipe(kind, count=(3, 3), box=30, texture_from="anywhere")
    found = inject_series(images, DAYS, GROUND, recipe, seed=2, date="2024-05-13")
    missing = ~np.isfinite(images[3]).all(axis=0)
    assert (found.mask[missing] > 0).any()
    np.testing.assert_array_equal(found.images[3][:, missing], images[3][:, missing])
    assert np.isfinite(found.images[2]).all()


def test_superpixels_are_those_of_all_images():
    small = np.random.default_rng(0).normal(size=(5, 1, 10, 10)).astype(np.float32)
    images = small.repeat(4, axis=2).repeat(4, axis=3)
    images[1, :, :9] = np.nan
    found = inject_series(images, DAYS, GROUND, ONE, seed=0, date="2024-05-13")
    assert found.superpixels.max() == 110  # the edge of no data parts the third row of blocks
    numbers = np.unique(found.superpixels[found.mask > 0])
    np.testing.assert_array_equal(np.isin(found.superpixels, numbers), found.mask > 0)


def test_nothing_allowed_is_said():
    images = series()
    for given, ground in ((images, ~GROUND), (images * np.nan, GROUND)):
        found = inject_series(given, DAYS, ground, Recipe(kind="statistical"), seed=0, date="2024-05-13")
        assert found.why.startswith("no changes")
        assert found.changes == ()
        np.testing.assert_array_equal(found.images, given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": DAYS[:3]}, "3 times for 5 images"),
        ({"times": np.arange(5)}, "times are int64"),
        ({"times": np.array(["NaT"] * 5, "datetime64[ns]")}, "none missing"),
        ({"date": "soon"}, "date is 'soon'"),
        ({"until": "2024-05-13"}, "until is 2024-05-13, not after date"),
        ({"gradual_days": -1}, "gradual_days is -1"),
        ({"images": np.zeros((5, 40, 40))}, r"images are float64 \(5, 40, 40\)"),
        ({"allowed": np.ones((4, 4))}, r"allowed mask is \(4, 4\)"),
        ({"recipe": Recipe(kind="statistical")}, "target is missing"),
    ],
)
def test_wrong_input_is_named(change, message):
    given = {
        "images": series(),
        "times": DAYS,
        "allowed": GROUND,
        "recipe": ONE,
        "date": "2024-05-13",
        **change,
    }
    with pytest.raises(InputError, match=message):
        inject_series(**given, seed=0)
