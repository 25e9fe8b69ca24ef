"""Misspelt keys and options, values out of range: named, with the cure, before anything is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--treshold", "2"], ["--treshold", "--threshold", "detect --help"]),
        (["--set", "robust.histroy=8"], ["'robust.histroy'", "did you mean 'robust.history'"]),
        (["--set", "robots.history=8"], ["'robots'", "did you mean 'robust'"]),
        (["--set", "robust.history"], ["'robust.history'", "KEY=VALUE"]),
        (["--set", "robust.history=[8"], ["robust.history=[8", "no valid YAML"]),
        (["--set", "robust.history=1"], ["robust.history", "1", "greater than or equal to 2"]),
        (["--method", "robots"], ["--method", "robots", "omnibus"]),
        (["--orbits", "37,x"], ["orbits", "'x'", "integer"]),
        (["--orbits", "88"], ["88", "orbit-037-ascending"]),
        (["--memory", "3 XB"], ["memory", "'3 XB'", "2 GiB"]),
        (["--memory", "1 MB"], ["memory", "268435456"]),
        (["--time", "yesterday"], ["'yesterday'", "2024-07-06"]),
        (["--time", "last", "--start", "2021-01-01"], ["time asks for one acquisition"]),
        (["--start", "2031-01-01"], ["orbit-037-ascending has 14 images", "choose another period"]),
        (["--confirm", "many"], ["confirm", "'many'", "integer"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_detect(cube: Path, tmp_path: Path, cli: Any, options: list[str], words: list[str]):
    cli("detect", cube, tmp_path / "out", *options).refused(*words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("treshold: 2", ["'treshold'", "did you mean 'threshold'"]),
        ("robust:\n  histroy: 8", ["'robust.histroy'", "did you mean 'robust.history'"]),
        ("threshold: -1", ["threshold is -1", "greater than 0"]),
        ("- threshold", ["holds list", "keys and values"]),
        ("threshold: [", ["no valid YAML"]),
        ("robust: 3", ["robust is 3"]),
        ("orbits: 88", ["88", "orbit-037-ascending"]),
        ("time: 2020-01-01", ["orbit-037-ascending", "add acquisitions"]),
    ],
)
def test_configuration(cube: Path, tmp_path: Path, cli: Any, text: str, words: list[str]):
    file = tmp_path / "detect.yaml"
    file.write_text(text)
    cli("detect", cube, tmp_path / "out", "--config", file).refused(*words)
    assert list(tmp_path.iterdir()) == [file]


def test_other_verbs(tmp_path: Path, found: Path, cli: Any):
    cli("detcet").refused("'detcet'", "'detect'", "terradelta --help")
    cli("cube", "bild").refused("'bild'", "'build'", "terradelta cube --help")
    cli("config", "detct").refused("'detct'", "did you mean 'detect'")
    cli("config", "cube").refused("'cube'")
    cli("detect").refused("'cube'", "cube to read")
    cli("cube", "build", "a").refused("'cube'")
    cli("compare", found, found, "--tolerance", "-1").refused("tolerance", "-1")
    cli("cube", "info", found, "more").refused("more")
    cli("demo", "--size", "7").refused("size", "7", "64")
    cli("detect", "a", "b", "--config", tmp_path / "no.yaml").refused("no.yaml", "terradelta config")
    cli("detect", "a", "b", "--config", tmp_path).refused(str(tmp_path))


def test_export(tmp_path: Path, found: Path, cli: Any):
    cli("export", found, tmp_path / "a.xyz").refused(".xyz", "geotiff", "gpkg")
    cli("export", found, tmp_path / "a.nc", "--layers", "chnge").refused("'chnge'", "change")
    cli("export", found, tmp_path / "a.nc", "--bounds", "1,2").refused("bounds", "west,south")
    cli("export", found, tmp_path / "a.nc", "--bounds", "-3,1,-2,2").refused("beside the map", "west 3.0")
    cli("export", found, tmp_path / "a.nc", "--bounds", "1,2,3,4", "--bounds-crs", "EPSG:x").refused("EPSG:x")
    cli("export", found, tmp_path / "a.tif").refused("takes one layer", "choose one")
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_where(tmp_path: Path, cli: Any):
    result = cli("--debug", "cube", "info", tmp_path / "gone.zarr")
    assert result.code == 2
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("terradelta: ")
    assert "Traceback" in cli("cube", "info", tmp_path / "gone.zarr", "--debug").err


def test_what_nobody_thought_of_is_one_line_too(tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch):
    import terradelta.cube

    def fail(path: Any) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(terradelta.cube, "open_cube", fail)
    cli("cube", "info", tmp_path).refused("unexpected ZeroDivisionError: two lines", "--debug", code=1)


def test_no_secret_of_the_environment_is_shown(tmp_path: Path, process: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "s3cr3t")
    result = process("cube", "info", tmp_path / "gone.zarr", "--debug")
    assert result.code == 2
    assert "gone.zarr does not exist" in result.err
    assert "s3cr3t" not in result.err + result.out
