from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import terradelta as td
from terradelta.errors import ConfigError, InputError
from terradelta.expected.model import ExpectedImage
from terradelta.workflows.detect import run_detect

_FILE = Path(__file__).parents[1] / "expected" / "scene_models.py"
_SPEC = importlib.util.spec_from_file_location("scene_models", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
models: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(models)

ORBIT, CHANGED = "orbit-037-descending", "2023-04-19"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt nothing yet: it expects the mean of the previous images."""
    from terradelta.expected.networks.conditioned import ConditionedUNet, ConditionedUNetConfig
    from terradelta.expected.preparation import Preparation

    network = ConditionedUNet(ConditionedUNetConfig(width=4, scales=2, weather=False), static=0)
    folder = tmp_path_factory.mktemp("run")
    ExpectedImage(network, models.STATISTICS, Preparation("tv", "median")).save_pretrained(folder)
    return folder


def test_one_date_by_a_network(memory: Any, run: Path, changed: Any) -> None:
    found = td.detect(memory, method="expected", model=run, time=CHANGED)[ORBIT]
    assert found["score"].attrs["units"] == "standard deviations"
    seen = td.expected.predict(ExpectedImage.from_pretrained(run), memory, CHANGED)
    diff = td.difference(memory, seen)
    np.testing.assert_allclose(found["score"].values, diff["strength"].values, rtol=1e-4)
    np.testing.assert_allclose(found["difference"].values, diff["difference"].values, atol=1e-4)
    np.testing.assert_array_equal(found["change"].values, diff["strength"].values > 3)
    assert {"expected", "sigma"} <= set(found.data_vars)
    rate = [(found["change"].values[part] == 1).mean() for part in (changed, ~changed)]
    assert rate[0] > 0.5 and rate[1] < 0.1


def test_on_disk_it_gives_the_same_and_cleans_up(
    memory: Any, run: Path, settings: Any, tmp_path: Path
) -> None:
    told = {"method": "expected", "model": run, "start": "2023-04-19", "end": "2023-05-13"}
    out = run_detect(settings(**told))
    found = td.detect(memory, **told)["combined"]
    import rasterio

    for name in ("change", "score", "date", "count"):
        with rasterio.open(out / f"{name}.tif") as file:
            np.testing.assert_array_equal(file.read(1), found[name].values)
    assert not list(out.glob(".terradelta-work*"))
    assert json.loads((out / "summary.json").read_text())["method"] == "expected"
    run_detect(settings(**told))  # all is done


@pytest.mark.parametrize("choice", ["latest", "mean"])
def test_conventional_follows_the_plain_difference(memory: Any, changed: Any, choice: str) -> None:
    found = td.detect(memory, method="conventional", choice=choice, despeckle="none", time=CHANGED)[ORBIT]
    seen = td.expected.conventional(memory, CHANGED, choice=choice)
    length = td.difference(memory, seen)["length"].values
    np.testing.assert_allclose(found["score"].values, length, rtol=1e-5)
    assert found["score"].attrs["units"] == "dB" and "sigma" not in found
    assert (found["change"].values[changed] == 1).mean() > 0.9


def test_a_change_is_not_compared_with_itself_while_it_waits_to_be_confirmed(
    memory: Any, run: Path, changed: Any
) -> None:
    """The third image after the change confirms it; it is compared with images from before the change."""
    times = memory["sar"]["time"].values[memory["sar"]["relative_orbit"].values == 37]
    first = int(np.flatnonzero(times.astype("datetime64[D]") >= np.datetime64(CHANGED))[0])
    told = {"start": CHANGED, "end": str(times[first + 2])[:10], "orbits": [37], "despeckle": "none"}
    found = td.detect(memory, method="conventional", choice="latest", **told)[ORBIT]
    every, since, last = memory["sar"]["time"].values, times[first], times[first + 2]
    plain = td.expected.conventional(memory, last, choice="latest", until=since)
    assert plain.attrs["previous"] == [str(every[every < since][-1])[:19]]
    assert (found["change"].values[changed] == 1).mean() > 0.5
    assert (found["change"].values[~changed] == 1).mean() < 0.05
    seen = td.expected.predict(ExpectedImage.from_pretrained(run), memory, last, until=since)
    assert all(time < str(since) for time in seen.attrs["previous"])


def test_a_saved_threshold(memory: Any, tmp_path: Path) -> None:
    from terradelta.expected.classifiers.threshold import Threshold

    Threshold(4.5).save(tmp_path / "t.json")
    told = {"method": "conventional", "despeckle": "none", "time": CHANGED, "choice": "latest"}
    by_file = td.detect(memory, classifier=tmp_path / "t.json", **told)["combined"]
    by_hand = td.detect(memory, threshold=4.5, **told)["combined"]
    np.testing.assert_array_equal(by_file["change"].values, by_hand["change"].values)


def test_what_does_not_go_together(memory: Any, run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="method expected needs a trained model; name its folder"):
        td.detect(memory, method="expected")
    with pytest.raises(ConfigError, match="method robust takes no model"):
        td.detect(memory, model=run)
    with pytest.raises(InputError, match="holds no trained model"):
        td.detect(memory, method="expected", model=tmp_path)
