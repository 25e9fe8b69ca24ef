from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import terradelta.products as products
from terradelta.errors import InputError
from terradelta.products.layers import LAYERS, encode, valid
from terradelta.products.provenance import Provenance, flatten


def test_the_contract_of_the_main_layers() -> None:
    stored = {name: (layer.dtype, layer.nodata) for name, layer in LAYERS.items() if layer.is_integer}
    assert stored == {
        "change": ("uint8", 255), "date": ("int32", -1), "first": ("int32", -1), "last": ("int32", -1),
        "count": ("uint16", 65535),
    }  # fmt: skip
    for layer in LAYERS.values():
        assert np.array(layer.nodata, layer.dtype) == layer.nodata or np.isnan(layer.nodata)
        assert layer.resampling == ("average" if layer.kind == "measure" else "nearest")
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in layer.ramp)
        assert bool(layer.ramp) != bool(layer.classes)
        assert layer.unit and layer.description.endswith(".")


def test_no_second_place_knows_the_colours_of_a_layer() -> None:
    colours = {colour for layer in LAYERS.values() for colour in layer.ramp}
    colours |= {entry.colour for layer in LAYERS.values() for entry in layer.classes}
    folder = Path(products.__file__).parent
    for path in sorted(folder.glob("*.py")):
        if path.name != "layers.py":
            assert not colours & set(re.findall("#[0-9a-fA-F]{6}", path.read_text())), path.name


@given(st.lists(st.one_of(st.integers(0, 65534), st.none()), min_size=1))
def test_counts_keep_their_values_as_integers_and_as_floats(values: list[int | None]) -> None:
    floats = np.array([np.nan if value is None else value for value in values])
    stored = encode(LAYERS["count"], floats)
    assert stored.dtype == "uint16"
    assert stored.tolist() == [65535 if value is None else value for value in values]
    assert valid(LAYERS["count"], stored).tolist() == [value is not None for value in values]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("change", np.array([0, 1, 7], "uint8"), "'change' holds 7"),
        ("change", np.array([0.5]), "holds 0.5"),
        ("change", np.array([-1]), "holds -1"),
        ("count", np.array([1.5]), "holds 1.5"),
        ("count", np.array([70000]), "holds 70000"),
        ("date", np.array([1e12]), "holds 1e+12|holds 1000000000000"),
        ("score", np.array(["a"]), "give numbers"),
    ],
)
def test_values_that_a_layer_cannot_hold_are_refused(name: str, values: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("+", r"\+")):
        encode(LAYERS[name], values)


def test_booleans_and_dates_are_understood() -> None:
    assert encode(LAYERS["change"], np.array([True, False])).tolist() == [1, 0]
    days = encode(LAYERS["date"], np.array(["2020-01-01T05:30", "NaT"], "datetime64[ns]"))
    assert days.tolist() == [18262, -1]
    assert days.dtype == "int32"


def test_a_configuration_that_is_no_json_is_refused() -> None:
    circle: dict[str, object] = {}
    circle["self"] = circle
    with pytest.raises(InputError, match="JSON"):
        Provenance(configuration=circle).tags()


def test_nested_settings_get_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": []}, "e": {}}) == {"a.b.c": 1, "a.d": [], "e": {}}
