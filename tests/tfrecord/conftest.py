from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from terradelta.tfrecord import RawRecord


def raw_record(seed: int = 0, size: int = 8, change: bool = True, **other: Any) -> RawRecord:
    rng = np.random.default_rng(seed)

    def image(*shape: int) -> np.ndarray:
        return rng.normal(-11, 3, shape).astype(np.float32)

    values: dict[str, Any] = {
        "image_location": "POINT (62.5 25.25)",
        "dem_rast": image(size, size),
        "forestmask": (image(size, size) > -11).astype(np.float32),
        "input_image_stack": image(8, size, size),
        "target_image": image(2, size, size),
        "input_image_temperatures": rng.normal(size=4),
        "input_image_snow_depths": np.arange(4.0),
        "input_image_platform_headings": np.array([-14.5, -166.0, -14.0, 166.0]),
        "input_image_incidence_angles": np.array([35.0, 38.5, 41.0, 30.0]),
        "input_image_precipitations": np.arange(16.0).reshape(4, 4),
        "input_image_mission_ids": ("S1A", "S1B", "S1A", "S1B"),
        "input_image_start_times": tuple(f"2021-06-{day:02d}T05:00:00.5" for day in (1, 3, 10, 20)),
        "input_image_data_take_ids": ("1", "22", "", "4"),
        "target_image_temperature": float(np.float32(11.7)),
        "target_image_snow_depth": 0.0,
        "target_image_platform_heading": -14.5,
        "target_image_incidence_angle": 35.5,
        "target_image_precipitations": np.array([0.5, 0.25, 7.0, 8.0]),
        "target_image_mission_id": "S1A",
        "target_image_start_time": "2021-06-25T15:30:00",
        "target_image_data_take_id": "é",
    }
    if change:
        values |= {
            "simulated_change_mask": rng.integers(0, 3, (size, size), np.int32),
            "num_simulated_changes": 2,
            "img_superpixel_map": np.arange(size * size).reshape(size, size),
            "img_superpixel_sets": '{"1": [[0, 0]]}',
            "simulated_change_image": image(size, size, 2),
            "target_image_prediction": image(size, size, 2),
        }
    return RawRecord(**values | other)


def same(one: Any, other: Any) -> bool:
    """Equal bit for bit, type for type."""
    for name, value in vars(one).items():
        twin = getattr(other, name)
        if isinstance(value, np.ndarray):
            if value.dtype != twin.dtype or value.shape != twin.shape or value.tobytes() != twin.tobytes():
                return False
        elif type(value) is not type(twin) or value != twin:
            return False
    return True


@pytest.fixture
def make_record():
    return raw_record


@pytest.fixture
def equal():
    return same
