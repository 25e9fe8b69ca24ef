import json

import numpy as np
import pytest

from terradelta.errors import InputError
from terradelta.expected.conditions import (
    FEATURES,
    GROUPS,
    Conditions,
    kept_entries,
    kept_features,
    vector_names,
)

PUBLISHED = {
    "temperature": "without_temperature",
    "snow_depth": "without_snow_depth",
    "orbit_direction": "without_platform_heading",
    "incidence": "without_incidence_angle",
    "satellite": "without_mission_id",
    "precipitation": "without_precipitation",
}


def test_kept_entries_equal_the_published_ones(shared):
    stored = json.loads((shared / "reference/sar/latent_index_sets.json").read_text())["kept_indices"]
    assert kept_entries().tolist() == stored["all"]
    assert kept_entries(weather=False).tolist() == stored["no_weather_data"]
    for group, name in PUBLISHED.items():
        assert kept_entries(without=[group]).tolist() == stored[name]
    both = kept_entries(without=["temperature"], weather=False).tolist()
    assert both == stored["no_weather_data_and_ablation_temperature"]


def test_names_of_the_vector_follow_the_published_order(shared):
    order = json.loads((shared / "reference/sar/latent_index_sets.json").read_text())["latent_order"]
    words = {"platform_heading": "orbit_direction", "incidence_angle": "incidence", "mission": "satellite"}
    for ours, theirs in zip(vector_names(), order, strict=True):
        plain = theirs.removeprefix("input_").removeprefix("target_").replace("_is_S1A", "").split("[")[0]
        assert ours.split("[")[0] == words.get(plain, plain)
        assert ("[4]" in ours.split("]")[0] + "]") == theirs.startswith("target")


def test_features_left_out_are_those_of_the_groups():
    for group, features in GROUPS.items():
        kept = kept_features(without=[group])
        assert [name for name, stays in zip(FEATURES, kept, strict=True) if not stays] == list(features)


@pytest.mark.parametrize("function", [kept_entries, kept_features])
def test_unknown_group_is_named(function):
    with pytest.raises(InputError, match=r"'rain' is no condition .* precipitation"):
        function(without=["rain"])


def test_conditions_of_other_lengths_are_refused():
    fine = Conditions.unknown(3)
    with pytest.raises(InputError, match=r"condition heading has shape \(2,\)"):
        Conditions(
            fine.temperature,
            fine.snow_depth,
            np.zeros(2),
            fine.incidence,
            fine.precipitation,
            fine.platform,
            fine.age,
        )


def test_missing_groups_are_told():
    assert Conditions.unknown(2).missing() == tuple(GROUPS)
