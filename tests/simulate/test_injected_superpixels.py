"""Superpixels and the changes that take them wholly, against the oracle and simple loops."""

import json

import numpy as np
import pytest
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.simulate.injected import (
    superpixel_sets,
    superpixel_sets_json,
    superpixels,
    whole_superpixels,
)

NAMES = ("rand_6x7", "merge_4x5", "nearest_24x24", "nan_3x4", "one_band_differs_2x3")


def row_scan(image):
    """Number the pixels one after the other."""
    rows, columns = image.shape[1:]
    labels, count = np.zeros((rows, columns), int), 0
    for y in range(rows):
        for x in range(columns):
            if y and np.array_equal(image[:, y, x], image[:, y - 1, x]):
                labels[y, x] = labels[y - 1, x]
            elif x and np.array_equal(image[:, y, x], image[:, y, x - 1]):
                labels[y, x] = labels[y, x - 1]
            else:
                count += 1
                labels[y, x] = count
    return labels


def components(image):
    """Label each value by itself; number by the first pixel."""
    keys, found = np.unique(image.reshape(len(image), -1), axis=1, return_inverse=True)
    found, labels, count = found.reshape(image.shape[1:]), np.zeros(image.shape[1:], int), 0
    for key in range(keys.shape[1]):
        each, number = ndimage.label(found == key)
        labels[each > 0] = each[each > 0] + count
        count += number
    order = {label: rank for rank, label in enumerate(dict.fromkeys(labels.ravel().tolist()), 1)}
    return np.vectorize(order.get)(labels)


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_published_row_scan(shared, name):
    with np.load(shared / "reference/sar/superpixels.npz") as oracle:
        image, expected = oracle[f"{name}_image"], oracle[f"{name}_map"]
    sets = json.loads((shared / "reference/sar/superpixels_sets.json").read_text())[name]
    labels = superpixels(image.transpose(2, 0, 1))
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, expected)
    assert superpixel_sets_json(labels) == json.dumps(sets)
    assert {str(number): pixels for number, pixels in superpixel_sets(labels).items()} == sets


def test_published_scan_and_components_differ_where_parts_meet(shared):
    with np.load(shared / "reference/sar/superpixels.npz") as oracle:
        image = oracle["merge_4x5_image"].transpose(2, 0, 1)
    assert superpixels(image, connected=True).max() < superpixels(image).max()


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (23, 31)])
def test_equal_simple_loops(seed, size):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 2 + seed % 2, (1 + seed % 2, *size)).astype(np.float32)
    np.testing.assert_array_equal(superpixels(image), row_scan(image))
    np.testing.assert_array_equal(superpixels(image, connected=True), components(image))


@pytest.mark.parametrize("connected", [False, True])
def test_a_long_chain_to_the_left(connected):
    """A staircase links each vertical run to the one before it."""
    size = 60
    image = np.ones((1, size, size))
    image[0][np.triu_indices(size, 2)] = np.arange(2, 2 + len(np.triu_indices(size, 2)[0]))
    expected = components(image) if connected else row_scan(image)
    np.testing.assert_array_equal(superpixels(image, connected=connected), expected)


@pytest.mark.parametrize("seed", range(20))
def test_enlarged_images_with_copied_rows_and_columns(seed):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 3, (2, 7, 8)).astype(np.float32)
    small[rng.random(small.shape) < 0.03] = np.nan
    rows, columns = (np.sort(rng.integers(0, n, 19 + n)) for n in small.shape[1:])
    image = small[:, rows][:, :, columns if seed % 2 else np.arange(8)]
    np.testing.assert_array_equal(superpixels(image), row_scan(image))
    full = np.nan_to_num(image)
    np.testing.assert_array_equal(superpixels(full, connected=True), components(full))


@pytest.mark.parametrize("rows", [128, 256, 257, 513])
def test_parts_that_meet_along_many_rows_merge(rows):
    image = np.ones((1, rows + 1, 3))
    image[0, 0, 1] = 2
    assert superpixels(image).max() == 3
    assert superpixels(image, connected=True).max() == 2


def test_missing_values_stand_alone():
    image = np.zeros((2, 3, 4))
    image[1, :, 1:3] = np.nan
    labels = superpixels(image)
    alone = labels[:, 1:3].ravel()
    assert len(set(alone.tolist())) == 6
    np.testing.assert_array_equal(labels, row_scan(image))
    assert superpixels(np.full((1, 5, 5), np.nan), connected=True).ravel().tolist() == list(range(1, 26))


def test_whole_superpixels_equals_a_loop():
    rng = np.random.default_rng(3)
    labels = rng.integers(1, 60, (20, 20))
    mask = np.where(rng.random((20, 20)) < 0.05, rng.integers(1, 4, (20, 20)), 0)
    expected = np.zeros_like(mask)
    for number in np.unique(labels):
        expected[labels == number] = mask[labels == number].max()
    found = whole_superpixels(mask, labels)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match=r"image is \(4, 5\); give one of \(band, y, x\)"):
        superpixels(np.zeros((4, 5)))
    with pytest.raises(InputError, match=r"mask is \(2, 2\) and superpixels are \(2, 3\)"):
        whole_superpixels(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(InputError, match="superpixels hold -1"):
        whole_superpixels(np.zeros((1, 1), int), np.array([[-1]]))
