"""Changes put into one image."""

import json

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.simulate.injected import Recipe, inject, superpixels
from terradelta.types import Offset

SIZE = 96
KINDS = ("offset", "statistical", "gaussian", "texture")


def scene(seed=0, bands=2, block=3):
    """Blocks of equal values in forest, on the left, and in brighter open land."""
    rng = np.random.default_rng(seed)
    small = rng.normal(-10, 1.5, (bands, SIZE // block, SIZE // block))
    small[:, :, 2 * SIZE // block // 3 :] += 4
    image = small.repeat(block, axis=1).repeat(block, axis=2).astype(np.float32)
    forest = np.zeros((SIZE, SIZE), bool)
    forest[:, : 2 * SIZE // 3] = True
    return image, forest


def target_of(image, forest):
    return image[:, ~forest]


@pytest.fixture(scope="module", params=KINDS)
def made(request):
    image, forest = scene()
    recipe = Recipe(kind=request.param, count=(2, 2), box=30)
    return image, forest, recipe, inject(image, forest, recipe, seed=7, target=target_of(image, forest))


def test_mask_says_exactly_what_changed(made):
    image, _, _, found = made
    assert found.image.dtype == np.float32
    assert found.mask.dtype == np.int32
    changed = (found.image != image).any(axis=0)
    np.testing.assert_array_equal(changed, found.mask > 0)
    assert changed.any()
    assert found.why == ""


def test_truth_lists_each_change(made):
    image, forest, recipe, found = made
    assert [each.number for each in found.changes] == [1, 2]
    difference = found.image.astype(float) - image
    for each in found.changes:
        own = found.mask == each.number
        assert each.kind == recipe.kind
        assert each.pixels == own.sum()
        assert isinstance(each.centre, Offset)
        assert forest[each.centre]
        if each.pixels:
            np.testing.assert_allclose(each.change, difference[:, own].mean(axis=1), atol=1e-5)
        assert json.loads(json.dumps(each.to_dict()))["pixels"] == each.pixels


def test_superpixels_change_wholly(made):
    image, _, recipe, found = made
    labels = superpixels(image, connected=True)
    np.testing.assert_array_equal(found.superpixels, labels)
    numbers = np.unique(labels[found.mask > 0])
    assert (np.isin(labels, numbers) == (found.mask > 0)).mean() > 0.999
    if recipe.kind != "texture":
        np.testing.assert_array_equal(np.isin(labels, numbers), found.mask > 0)
        for number in numbers[:20]:
            assert np.ptp(found.image[:, labels == number], axis=1).max() == 0


def test_same_seed_same_change_and_input_untouched(made):
    image, forest, recipe, found = made
    np.testing.assert_array_equal(image, scene()[0])
    again = inject(image, forest, recipe, seed=7, target=target_of(image, forest))
    np.testing.assert_array_equal(again.image, found.image)
    other = inject(image, forest, recipe, seed=8, target=target_of(image, forest))
    assert (other.mask != found.mask).any()


def test_all_kinds_of_a_seed_lie_in_one_place():
    image, forest = scene()
    masks = [
        inject(
            image, forest, Recipe(kind=k, count=(2, 2), box=20), seed=3, target=target_of(image, forest)
        ).mask
        for k in ("offset", "statistical", "gaussian")
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])


def test_offset_of_each_band():
    image, forest = scene()
    found = inject(image, forest, Recipe(offset=(-2.5, 1.0), count=(1, 1), box=30), seed=1)
    inside = found.mask == 1
    np.testing.assert_array_equal(found.image[0, inside], image[0, inside] + np.float32(-2.5))
    np.testing.assert_array_equal(found.image[1, inside], image[1, inside] + np.float32(1))
    np.testing.assert_allclose(found.changes[0].change, (-2.5, 1.0), atol=1e-5)


def test_statistical_change_takes_the_targets_distribution():
    image, forest = scene(block=1)
    rng = np.random.default_rng(4)
    target = np.stack([rng.normal(-14, 0.7, 5000), rng.normal(-20, 2.0, 5000)])
    for mapping in ("quantile", "published", "kernel"):
        recipe = Recipe(kind="statistical", mapping=mapping, count=(1, 1), box=90, superpixels="none")
        found = inject(image, forest, recipe, seed=2, target=target)
        values = found.image[:, found.mask > 0]
        np.testing.assert_allclose(values.mean(axis=1), (-14, -20), atol=0.25)
        np.testing.assert_allclose(values.std(axis=1), (0.7, 2.0), rtol=0.15)


def test_gaussian_change_keeps_mean_and_widens():
    image, forest = scene(block=1)
    recipe = Recipe(kind="gaussian", count=(1, 1), box=90, gaussian_shift=(0.0, -3.0), gaussian_spread=2.0)
    found = inject(image, forest, recipe, seed=2)
    inside = found.mask > 0
    before, after = image[:, inside], found.image[:, inside]
    np.testing.assert_allclose(after.mean(axis=1) - before.mean(axis=1), (0, -3), atol=0.3)
    np.testing.assert_allclose(after.std(axis=1) / before.std(axis=1), 2.0, rtol=0.1)
    assert abs(np.corrcoef(before[0], after[0])[0, 1]) < 0.1


def test_texture_is_copied_from_one_other_place():
    image, forest = scene(block=1)
    found = inject(image, forest, Recipe(kind="texture", count=(1, 1), box=30), seed=5)
    rows, columns = np.nonzero(found.mask)
    steps = []
    for y, x in zip(rows[:25], columns[:25], strict=True):
        same = (image == found.image[:, y, x][:, None, None]).all(axis=0)
        assert same.sum() == 1
        steps.append(tuple(np.argwhere(same)[0] - (y, x)))
    assert len(set(steps)) == 1
    sources = np.stack([rows, columns], axis=1) + steps[0]
    assert not found.mask[tuple(sources.T)].any()
    assert (~forest[tuple(sources.T)]).mean() > 0.9


def test_published_mask_is_that_before_superpixels():
    image, forest = scene()
    target = target_of(image, forest)
    settings = {"count": [1, 1], "box": 30}
    said = inject(image, forest, Recipe.published(**settings, mask_says=True), seed=1, target=target)
    published = inject(image, forest, Recipe.published(**settings), seed=1, target=target)
    np.testing.assert_array_equal(said.image, published.image)
    assert not (published.mask[~forest]).any()
    assert ((said.mask > 0) >= (published.mask > 0)).all()
    assert (said.mask > 0).sum() > (published.mask > 0).sum()
    assert published.changes[0].pixels == (said.mask > 0).sum()
    offset = inject(image, forest, Recipe.published("offset", **settings), seed=1)
    np.testing.assert_array_equal(offset.mask, published.mask)
    np.testing.assert_array_equal((offset.image != image).any(axis=0), offset.mask > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_data_is_never_touched(kind):
    image, forest = scene(block=1)
    target = target_of(image, forest)
    image[0, 20:40] = np.nan
    image[1, :, 30:34] = -np.inf
    found = inject(image, forest, Recipe(kind=kind, count=(3, 3), box=40), seed=3, target=target)
    missing = ~np.isfinite(image).all(axis=0)
    assert not found.mask[missing].any()
    np.testing.assert_array_equal(found.image[:, missing], image[:, missing])
    assert np.isfinite(found.image[:, found.mask > 0]).all()
    assert (found.mask > 0).any()


def test_counts_are_drawn_evenly():
    image, forest = scene(bands=1)
    recipe = Recipe(box=10, superpixels="none")
    counts = np.bincount(
        [len(inject(image, forest, recipe, seed=s).changes) for s in range(400)], minlength=4
    )
    assert len(counts) == 4
    assert counts.min() > 70


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_allowed_gives_no_changes_and_says_so(kind):
    image, forest = scene()
    recipe = Recipe(kind=kind, count=(2, 2))
    for picture, allowed, why in (
        (image, np.zeros_like(forest), "no forest"),
        (image * np.nan, forest, "no pixel with data"),
        (np.where(forest, np.nan, image), forest, "no allowed pixel has data"),
    ):
        found = inject(picture, allowed, recipe, seed=0)
        assert why in found.why
        assert found.changes == ()
        assert not found.mask.any()
        np.testing.assert_array_equal(found.image, picture)


def test_zero_drawn_and_no_place_to_copy_from_are_said():
    image, forest = scene()
    assert inject(image, forest, Recipe(count=(0, 0)), seed=0).why == "no changes: zero were drawn"
    recipe = Recipe(kind="texture", count=(1, 1), box=500)
    found = inject(image[:, :6, :6], np.ones((6, 6), bool), recipe, seed=0)
    assert "no other place" in found.why
    assert not found.mask.any()
    np.testing.assert_array_equal(found.image, image[:, :6, :6])


def test_overlaid_change_is_listed_without_pixels():
    image = np.zeros((1, 5, 5), np.float32)
    recipe = Recipe(count=(2, 2), box=200, superpixels="none")
    found = inject(image, np.ones((5, 5), bool), recipe, seed=0)
    assert [each.pixels for each in found.changes] == [0, 25]
    assert found.changes[0].change == (0.0,)


def test_recipe_to_dict_and_back():
    recipe = Recipe(kind="gaussian", offset=(-1.0, -2.0), count=(1, 2), gaussian_shift=(0.5, 0.0))
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert hash(recipe) == hash(Recipe.from_dict(recipe.to_dict()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "fire"}, "kind is 'fire'; give one of offset, statistical, gaussian, texture"),
        ({"superpixels": "yes"}, "superpixels is 'yes'"),
        ({"mapping": "kde"}, "mapping is 'kde'"),
        ({"texture_from": "mars"}, "texture_from is 'mars'"),
        ({"offset": float("nan")}, "offset is nan"),
        ({"offset": ()}, r"offset is \(\)"),
        ({"offset": "much"}, "offset is 'much'"),
        ({"count": (2, 1)}, r"count is \(2, 1\)"),
        ({"count": 3}, "count is 3"),
        ({"count": (0, 1.5)}, "count is"),
        ({"box": 10.5}, "box is 10.5"),
        ({"corners": 2}, "corners is 2"),
        ({"mask_says": "no"}, "mask_says is 'no'"),
        ({"gaussian_spread": -1}, "gaussian_spread is -1"),
        ({"texture_tries": 0}, "texture_tries is 0"),
        ({"colour": 1}, "no setting 'colour'; give one of kind, offset"),
    ],
)
def test_recipe_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        Recipe.from_dict(settings)


def test_recipe_refuses_a_published_kind_that_is_not():
    with pytest.raises(InputError, match="kind is 'texture'; give one of offset, statistical"):
        Recipe.published("texture")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((8, 8))}, r"image is \(8, 8\)"),
        ({"image": np.zeros((0, 8, 8))}, r"image is \(0, 8, 8\)"),
        ({"image": np.zeros((1, 8, 8), complex)}, "image holds complex128"),
        ({"allowed": np.ones((8, 9), bool)}, r"allowed mask is \(8, 9\)"),
        ({"recipe": Recipe(offset=(1.0, 2.0))}, "offset has 2 values, the image 1 bands"),
        ({"recipe": Recipe(kind="statistical")}, "target is missing"),
        ({"recipe": Recipe(kind="statistical", count=(1, 1)), "target": np.zeros(9)}, r"target is \(9,\)"),
        (
            {"recipe": Recipe(kind="statistical", count=(1, 1)), "target": np.full((1, 9), np.nan)},
            "target has no finite value",
        ),
        (
            {"recipe": Recipe(kind="statistical", mapping="kernel", count=(1, 1)), "target": np.ones((1, 9))},
            "forest has the constant value 0.*mapping='quantile'",
        ),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_inject_refuses(change, message):
    given = {
        "image": np.zeros((1, 8, 8)),
        "allowed": np.ones((8, 8), bool),
        "recipe": None,
        "seed": 0,
        **change,
    }
    with pytest.raises(InputError, match=message):
        inject(given.pop("image"), given.pop("allowed"), given.pop("recipe"), **given)
