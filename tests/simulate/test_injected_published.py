"""The published program's changed images, from their stored masks."""

import json

import numpy as np
import pytest

from terradelta.simulate.injected import (
    Recipe,
    place_shapes,
    superpixel_sets_json,
    superpixels,
    whole_superpixels,
)
from terradelta.simulate.injected.kinds import Scene, changed
from terradelta.tfrecord.published import read_raw


def published_change(image, forest, mask, target):
    """Give the published statistical change of a mask."""
    touched = whole_superpixels(mask, superpixels(image))
    return changed(Scene(image, forest, touched, target=target), Recipe.published(), seed=0)


def test_records_with_simulated_change(shared):
    """Superpixels, their sets and the changed images of all 12 records."""
    folder = shared / "reference/sar"
    with np.load(folder / "simulated_change_inputs.npz") as oracle:
        clips = {name: oracle[name] for name in oracle.files if name.startswith("open_clip")}
    worst, records = 0.0, 0
    for records, record in enumerate(read_raw(folder / "simulated_change_with_prediction.tfrecord.GZIP"), 1):
        own = [clips[f"open_clip_{records - 1:02d}_{k}"].reshape(2, -1) for k in range(4)]
        image, forest = record.target_image, record.forestmask == 1
        found = published_change(image, forest, record.simulated_change_mask, np.concatenate(own, axis=1))
        worst = max(worst, float(np.abs(found - record.simulated_change_image.transpose(2, 0, 1)).max()))
        np.testing.assert_array_equal(superpixels(image), record.img_superpixel_map)
        if records == 1:
            assert superpixel_sets_json(record.img_superpixel_map) == record.img_superpixel_sets
    assert records == 12
    assert worst <= 1e-6


def test_placed_changes(shared):
    folder = shared / "reference/sar"
    cases = json.loads((folder / "change_placement.json").read_text())
    with np.load(folder / "change_placement.npz") as oracle:
        image, forest = oracle["image"], oracle["forest_mask"]
        shapes = np.unpackbits(oracle["shapes"], axis=-1)[..., :100].astype(bool)
        target = oracle["open_clip"].reshape(2, -1)
        for name, case in cases.items():
            positions = case["positions_xy"]
            mask = place_shapes(forest, shapes[: len(positions)], positions)
            found = published_change(image, forest == 1, mask, target)
            np.testing.assert_array_equal(found, oracle[f"changed_{name}"].transpose(2, 0, 1))
            assert (found != image).any(axis=0).sum() == case["changed_pixels"]


def test_published_settings_change_more_than_the_mask_says(shared):
    """Superpixels at the edge change whole."""
    from terradelta.simulate.injected import inject

    with np.load(shared / "reference/sar/change_placement.npz") as oracle:
        image, forest = oracle["image"], oracle["forest_mask"]
        target = oracle["open_clip"].reshape(2, -1)
    found = inject(image, forest, Recipe.published(count=[1, 1]), seed=5, target=target)
    more = (found.image != image).any(axis=0).sum() / (found.mask > 0).sum() - 1
    assert more == pytest.approx(0.05, abs=0.045)
