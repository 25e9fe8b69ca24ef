"""Settings of urban monitoring, and what decides whether products are there already."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from terradelta import urban
from terradelta.errors import ConfigError, ConflictError
from terradelta.workflows.config import MonitorSettings, load_settings
from terradelta.workflows.monitor.plan import Plan, day_after

NETWORKS = [{"file": "a.hdf5", "sha256": "12ab", "origin": "here", "era": "s1s2", "branches": "both"}]
IMAGES = [{"time": "2020-01-01T05:00:00", "orbit": "88 ascending", "platform": "S1A", "source": "x"}]


def settings(out: Path = Path("out"), **given: Any) -> MonitorSettings:
    return load_settings(MonitorSettings, given={"cube": "c.zarr", "out": out, "weights": "a.hdf5", **given})


def test_defaults_are_those_of_the_functions():
    pytest.importorskip("torch")
    told = settings()
    parameters = inspect.signature(urban.monitor).parameters
    shared = {name: one.default for name, one in parameters.items() if name in MonitorSettings.model_fields}
    shared.pop("cube")
    assert len(shared) >= 12
    assert {name: getattr(told, name) for name in shared} == shared
    assert inspect.signature(urban.whole_period).parameters["threshold"].default == told.threshold


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1,2", [(1, 2)]),
        ("5.57, 50.63 ; -1e3,4;", [(5.57, 50.63), (-1000, 4)]),
        ([[1, 2], (3, 4)], [(1, 2), (3, 4)]),
        ("", []),
    ],
)
def test_points(text: Any, points: list[tuple[float, float]]):
    assert settings(points=text).points == points


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "1;2", [1, 2], 7])
def test_what_is_no_point(text: Any):
    with pytest.raises(ConfigError, match="no points; write x,y;x,y"):
        settings(points=text)


def test_weights_in_every_way():
    expected = [Path("a.hdf5"), Path("b")]
    assert settings(weights="a.hdf5, b").weights == expected
    assert settings(weights=["a.hdf5", "b"]).weights == expected
    for nothing in ("", [], ","):
        with pytest.raises(ConfigError, match="no network"):
            settings(weights=nothing)
    with pytest.raises(ConfigError, match="given twice"):
        settings(weights="a,a")
    with pytest.raises(ConfigError, match="2020-05-01 is after end 2020-04-30"):
        settings(start="2020-05-01", end="2020-04-30")


def test_the_last_day_counts():
    assert str(day_after("2019-12-31")) == "2020-01-01"


def written(out: Path, plan: Plan, maps: str = "m") -> None:
    """Write the part of a summary that a plan looks at, as products do."""
    origin = plan.provenance(maps)
    found = {
        "configuration": origin.configuration,
        "inputs": list(origin.inputs),
        "acquisitions": origin.acquisitions,
    }
    (out / "summary.json").write_text(json.dumps(found, default=str), encoding="utf-8")


def test_products_are_known_again(tmp_path: Path):
    plan = Plan(settings(tmp_path), NETWORKS, IMAGES)
    assert not plan.is_complete("m")
    written(tmp_path, plan)
    assert plan.is_complete("m")
    assert not plan.is_complete("other maps")
    assert not Plan(settings(tmp_path), NETWORKS, IMAGES * 2).is_complete("m")
    # how, where from and what for is not what
    elsewhere = settings(tmp_path, cube="far/c.zarr", weights="far/b.hdf5", memory="3 GB", device="cpu")
    renamed = [{**NETWORKS[0], "file": "b.hdf5"}]
    Plan(elsewhere, renamed, IMAGES).require_same_settings()
    assert Plan(elsewhere, renamed, IMAGES).is_complete("m")


@pytest.mark.parametrize(
    ("other", "networks", "words"),
    [
        ({"threshold": 0.6}, NETWORKS, "differ in threshold"),
        ({"stride": 1, "points": "1,2"}, NETWORKS, "differ in stride, points"),
        ({"cube": "d.zarr"}, NETWORKS, "differ in cube"),
        ({}, [{**NETWORKS[0], "sha256": "99"}], "differ in networks"),
        ({}, NETWORKS * 2, "differ in networks"),
    ],
)
def test_other_settings_are_a_conflict(tmp_path: Path, other: Any, networks: Any, words: str):
    written(tmp_path, Plan(settings(tmp_path), NETWORKS, IMAGES))
    plan = Plan(settings(tmp_path, **other), networks, IMAGES)
    with pytest.raises(ConflictError, match=f"{words}; choose another folder, or --overwrite"):
        plan.require_same_settings()
    allowed = Plan(settings(tmp_path, **other, overwrite=True), networks, IMAGES)
    allowed.require_same_settings()
    assert not allowed.is_complete("m")


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_a_damaged_summary(tmp_path: Path, text: str):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ConflictError, match=r"summary\.json is damaged"):
        Plan(settings(tmp_path), NETWORKS, IMAGES).require_same_settings()
    Plan(settings(tmp_path, overwrite=True), NETWORKS, IMAGES).require_same_settings()


def test_the_verb_loads_no_torch_until_it_runs():
    script = (
        "import sys, terradelta.workflows.monitor; print('torch' in sys.modules, 'skimage' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
