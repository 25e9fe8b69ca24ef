from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from terradelta.errors import ConfigError
from terradelta.workflows.config import SETTINGS, DetectSettings, load_settings, to_yaml
from terradelta.workflows.config.base import parse_bytes

PLACES = {"cube": "a.zarr", "out": "b"}


def load(file=None, **given):
    return load_settings(DetectSettings, file, PLACES | given)


@pytest.mark.parametrize("verb", SETTINGS)
def test_written_yaml_is_read_back_as_the_defaults(verb, tmp_path):
    model = SETTINGS[verb]
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(model), encoding="utf-8")
    needed = {
        name: "x" for name, field in model.model_fields.items() if field.is_required() or name == "data"
    }
    assert load_settings(model, file, needed) == load_settings(model, given=needed)


def test_yaml_names_every_key_with_its_meaning_and_limits():
    text = to_yaml(DetectSettings)
    found = yaml.safe_load(text)
    assert set(found) | {"cube", "out"} == set(DetectSettings.model_fields)
    assert "# Previous images of the same orbit to compare with. (>= 2)\n  history: 10" in text
    assert "(one of robust, omnibus, logratio, expected, conventional)\nmethod: robust" in text
    assert "memory: 2 GiB" in text


def test_choices_are_words_also_where_there_may_be_none():
    assert "(one of mse, gaussian)" in to_yaml(SETTINGS["train"])
    assert not [line for line in to_yaml(SETTINGS["train"]).splitlines() if "class '" in line]


def test_a_single_date_confirms_itself():
    assert (load().in_a_row, load(confirm=2).in_a_row, load(time="2020-01-01").in_a_row) == (3, 2, 1)


def test_values_one_by_one_go_before_the_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("confirm: 2\nrobust:\n  history: 8\n  degree: 1\n")
    found = load(file, **{"confirm": 4, "robust.degree": 3})
    assert (found.confirm, found.robust.history, found.robust.degree) == (4, 8, 3)


def test_dates_without_quotes_and_sections_without_keys(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("start: 2024-07-06\nend: '2024-08-01T05:00:00Z'\nrobust:\nomnibus: {}\n")
    found = load(file)
    assert (found.start, found.end, found.robust) == ("2024-07-06", "2024-08-01", load().robust)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metod: robust", "unknown key 'metod'; did you mean 'method'"),
        ("robust:\n  histroy: 3", r"unknown key 'robust.histroy'; did you mean 'robust.history'"),
        ("omnibus:\n  zzzz: 3", r"unknown key 'omnibus.zzzz'; known are looks, significance"),
        (
            "method: magic",
            "method is 'magic': input should be 'robust', 'omnibus', 'logratio', 'expected' or",
        ),
        ("robust: 3", "robust is 3: "),
        ("robust:\n  history: many", r"robust.history is 'many': .*integer"),
        ("robust:\n  history: 1", r"robust.history is 1: .*greater than or equal to 2"),
        ("robust:\n  fewest: 11", "robust: fewest is 11 but history holds 10"),
        ("time: last\nstart: 2020-01-01", "time asks for one acquisition"),
        ("memory: lots", "memory is 'lots': no amount of memory; write for example 2 GiB"),
        ("memory: 5", "memory is 5: "),
        ("orbits: [a]", "orbits.* is 'a': .*integer"),
        ("3: 4", "keys should be strings"),
        ("- a", "holds list; expected keys and values"),
        ("a: [", "is no valid YAML"),
        ("start: " + "9" * 200, "start is '?9+ \\.\\.\\."),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, words):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words) as error:
        load(file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"no configuration at .*`terradelta config VERB` writes one"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "binary.yaml")


def test_what_is_missing_is_named():
    with pytest.raises(ConfigError, match="'out'"):
        load_settings(DetectSettings, given={"cube": "a"})
    with pytest.raises(ConfigError, match="goes through 'method'"):
        load_settings(DetectSettings, given={**PLACES, "method": "robust", "method.x": 1})


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load().confirm = 9


UNITS = {
    "": 1,
    "k": 1e3,
    "MB": 1e6,
    "g": 1e9,
    "TB": 1e12,
    "KiB": 2**10,
    "mi": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


@given(st.integers(0, 9999), st.sampled_from(list(UNITS)), st.sampled_from(["", " "]))
def test_memory_text(number, unit, space):
    assert parse_bytes(f" {number}{space}{unit} ") == int(number * UNITS[unit])
    assert parse_bytes(f"{number}.5{unit}") == int((number + 0.5) * UNITS[unit])


@pytest.mark.parametrize("text", ["", "GiB", "2 ib", "1.2.3", "-1 GB", "two", "1e3", "5 XB"])
def test_text_that_is_no_memory(text):
    with pytest.raises(ValueError, match="no amount of memory"):
        parse_bytes(text)


def test_numbers_are_bytes():
    assert parse_bytes(1024) == 1024
