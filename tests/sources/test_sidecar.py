from __future__ import annotations

from pathlib import Path

import pytest

from terradelta.errors import ConfigError
from terradelta.sources import FileSettings, Sidecar, load_sidecar


def test_later_rules_win_and_only_for_their_files(tmp_path: Path):
    (tmp_path / "terradelta.yaml").write_text(
        "unit: dB\nplatform: S1A\n"
        "files:\n  - match: 'b*'\n    unit: linear\n  - match: 'b2*'\n    scale: 0.5\n"
    )
    sidecar = load_sidecar(None, tmp_path)
    assert sidecar.for_file("a.tif").unit == "dB"
    assert (sidecar.for_file("b1.tif").unit, sidecar.for_file("b1.tif").scale) == ("linear", None)
    assert (sidecar.for_file("b2.tif").scale, sidecar.for_file("b2.tif").platform) == (0.5, "S1A")


def test_times_that_yaml_reads_as_dates_stay_times(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("time:\n  - 2020-01-13\n  - 2020-01-25T10:00:00Z\n")
    assert load_sidecar(file).time == ["2020-01-13", "2020-01-25T10:00:00+00:00"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unti: dB\n", ["unknown key 'unti'", "'unit'"]),
        ("files:\n  - mach: 'a*'\n    unit: dB\n", ["files.0.mach", "'match'"]),
        ("unit: decibel\n", ["unit", "decibel"]),
        ("relative_orbit:\n  - {after: '17:00', befor: '18:00', relative_orbit: 3}\n", ["befor", "'before'"]),
        ("zzzzqq: 1\n", ["zzzzqq", "valid keys"]),
        ("- a\n- b\n", ["list"]),
        ("a: [1\n", ["not valid YAML"]),
        ("incidence_angle: 95\n", ["incidence_angle", "95"]),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: str, words: list[str]):
    (tmp_path / "terradelta.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_sidecar(None, tmp_path)
    line = str(caught.value)
    assert line.startswith("terradelta.yaml: ")
    assert "\n" not in line
    assert all(word in line for word in words)


def test_a_missing_settings_file_is_an_error_only_when_it_was_named(tmp_path: Path):
    assert load_sidecar(None, tmp_path) == Sidecar()
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        load_sidecar(tmp_path / "gone.yaml")


def test_every_key_is_described():
    fields = {**FileSettings.model_fields, **Sidecar.model_fields}
    assert all(field.description for field in fields.values())
