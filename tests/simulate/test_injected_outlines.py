"""Random polygons and their places, against the oracles."""

import json

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.simulate.injected import place_shapes, random_polygon, random_shape, rasterise

PLACES = (
    "top_left",
    "bottom_right",
    "right_edge",
    "bottom_edge",
    "beside_open_ground",
    "overlap_two",
    "same_place_twice",
    "three",
)


def unpacked(packed):
    return np.unpackbits(packed, axis=-1)[..., :100].astype(bool)


def test_rasteriser_equals_the_oracle(shared):
    with np.load(shared / "reference/sar/polygon_raster.npz") as oracle:
        vertices, rasters = oracle["vertices_xy"], unpacked(oracle["raster"])
    for corners, raster in zip(vertices, rasters, strict=True):
        np.testing.assert_array_equal(rasterise(corners, (100, 100)), raster)


def test_outline_is_drawn_and_parts_beyond_the_raster_are_cut():
    square = np.array([[2, 1], [6, 1], [6, 4], [2, 4]])
    assert rasterise(square, (8, 9)).sum() == 5 * 4
    assert rasterise(square, (3, 5)).sum() == 3 * 2
    assert rasterise(square + 100, (3, 5)).sum() == 0


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(11)
    return np.stack([random_shape(rng) for _ in range(2000)])


def test_shapes_have_the_areas_and_boxes_of_the_oracle(shared, drawn):
    oracle = json.loads((shared / "reference/sar/random_shapes.json").read_text())
    areas = drawn.sum(axis=(1, 2))
    assert abs(areas.mean() - oracle["area_mean"]) < 20
    assert abs(areas.std() / oracle["area_std"] - 1) < 0.08
    for share, within in (("5", 25), ("25", 20), ("50", 20), ("75", 20), ("95", 30)):
        assert abs(np.percentile(areas, int(share)) - oracle["area_percentiles"][share]) < within
    for axis, name in ((1, "bbox_width"), (2, "bbox_height")):
        sides = drawn.any(axis=axis)
        lengths = 100 - sides.argmax(axis=1) - sides[:, ::-1].argmax(axis=1)
        assert (
            abs(lengths.mean() - oracle[f"{name}_mean"]) < 0.5
        )  # the oracle may count the last pixel or not
        assert abs(lengths.std() / oracle[f"{name}_std"] - 1) < 0.1


def test_shapes_cover_the_pixels_of_the_oracle(shared, drawn):
    with np.load(shared / "reference/sar/random_shapes.npz") as oracle:
        expected, areas = oracle["occupancy_probability"].astype(float), oracle["areas"]
    found = drawn.mean(axis=0)
    error = np.sqrt((expected * (1 - expected) + 0.002) / 2000 * 2)
    assert np.abs((found - expected) / error).max() < 6
    assert np.sqrt((((found - expected) / error) ** 2).mean()) < 1.5
    assert drawn[:, 50, 50].all()
    from scipy.stats import ks_2samp

    assert ks_2samp(drawn.sum(axis=(1, 2)), areas).pvalue > 1e-3


def test_polygon_angles_and_radii_stay_in_range():
    rng = np.random.default_rng(5)
    for _ in range(200):
        corners = random_polygon(rng, box=40, corners=9, irregularity=0.5, spikiness=1.0) - 20
        assert np.hypot(*corners.T).max() <= 20 + 1e-9
    regular = random_polygon(rng, box=80, corners=8, irregularity=0, spikiness=0) - 40
    np.testing.assert_allclose(np.hypot(*regular.T), 20)
    turns = np.diff(np.unwrap(np.arctan2(regular[:, 1], regular[:, 0])))
    np.testing.assert_allclose(turns, np.pi / 4)


def steps_and_radii(polygons):
    """Angles between corners and radii around the middle of a box of 100 pixels."""
    x, y = np.moveaxis(np.asarray(polygons) - 50, -1, 0)
    steps = np.diff(np.unwrap(np.arctan2(y, x)), axis=1)
    return steps.ravel(), np.hypot(x, y).ravel()


def test_corners_spread_as_those_of_the_oracle(shared):
    with np.load(shared / "reference/sar/polygon_raster.npz") as oracle:
        expected = steps_and_radii(oracle["vertices_xy"])
    rng = np.random.default_rng(8)
    found = steps_and_radii([random_polygon(rng) for _ in range(500)])
    from scipy.stats import ks_2samp

    for ours, theirs in zip(found, expected, strict=True):
        assert ks_2samp(ours, theirs).pvalue > 0.01
    assert found[0].std() == pytest.approx(0.35 / np.sqrt(3) * np.pi / 8, rel=0.06)
    assert found[1].std() == pytest.approx(0.2 * 25, rel=0.05)


@pytest.mark.parametrize("name", PLACES)
def test_places_equal_the_oracle(shared, name):
    cases = json.loads((shared / "reference/sar/change_placement.json").read_text())
    positions = cases[name]["positions_xy"]
    with np.load(shared / "reference/sar/change_placement.npz") as oracle:
        forest, expected = oracle["forest_mask"], oracle[f"mask_{name}"]
        shapes = unpacked(oracle["shapes"])[: len(positions)]
    mask = place_shapes(forest, shapes, positions)
    assert mask.dtype == np.int32
    np.testing.assert_array_equal(mask, expected)


def test_places_without_data_stay_free():
    valid = np.ones((6, 6), bool)
    valid[2] = False
    mask = place_shapes(np.ones((6, 6)), [np.ones((4, 4), bool)], [(3, 3)], valid)
    assert mask[valid].any()
    assert not mask[~valid].any()


def test_a_shape_larger_than_the_scene_is_cut():
    assert place_shapes(np.ones((3, 4)), [np.ones((50, 50), bool)], [(0, 0)]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: place_shapes(np.ones((4, 4)), [np.ones((2, 2))], []), "1 shapes at 0 positions"),
        (lambda: place_shapes(np.ones((4, 4)), [np.ones((2, 2))], [(4, 0)]), "position 1 is x 4, y 0"),
        (lambda: place_shapes(np.ones((4, 4)), [np.ones((2, 2))], [(0, -1)]), "position 1 is x 0, y -1"),
        (lambda: place_shapes(np.ones((4, 4)), [np.ones(3)], [(0, 0)]), r"shape 1 is \(3,\)"),
        (lambda: place_shapes(np.ones((4, 4)), [], [], np.ones((4, 5), bool)), r"valid mask is \(4, 5\)"),
        (lambda: place_shapes(np.ones(4), [], []), r"forest mask is \(4,\)"),
        (lambda: rasterise(np.zeros((2, 2)), (4, 4)), "at least 3 corners"),
        (lambda: rasterise(np.full((3, 2), np.nan), (4, 4)), "finite"),
        (lambda: random_shape(np.random.default_rng(0), corners=2), "corners is 2"),
        (lambda: random_shape(np.random.default_rng(0), box=0), "box is 0"),
        (lambda: random_shape(np.random.default_rng(0), irregularity=1.0), "irregularity is 1.0"),
        (lambda: random_shape(np.random.default_rng(0), spikiness=-1), "spikiness is -1"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
