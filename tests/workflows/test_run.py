"""Runs that write: whole, stopped, gone on with, in conflict."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terradelta.errors import ConflictError, InputError, LockedError, StorageError, TerradeltaError
from terradelta.products import compare, read_summary
from terradelta.workflows.config import load_settings
from terradelta.workflows.detect import run, run_detect
from terradelta.workflows.detect.crew import Crew
from terradelta.workflows.detect.store import WORK, Store
from terradelta.workflows.detect.tasks import do_block

QUICK = {"history": 6, "fewest": 3, "tv_iterations": 15, "degree": 1, "fit_iterations": 4}
WHOLE = 0
"""Tolerance of `compare`: equal to the last bit."""


@pytest.fixture(scope="module")
def undisturbed(cube, tmp_path_factory):
    """Six blocks of 40 pixels, never stopped."""
    from terradelta.workflows.config import DetectSettings

    out = tmp_path_factory.mktemp("undisturbed") / "out"
    told = load_settings(DetectSettings, given={"cube": cube, "out": out, "workers": 1, "robust": QUICK})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "choose", lambda *_, block=None, **__: (1, block or 40))
        return run_detect(told)


@pytest.fixture
def counted(monkeypatch):
    """Count the blocks that are computed; stop at one if told."""
    numbers: list[int] = []
    stop: list[int] = []

    def task(context, block):
        if len(numbers) in stop:
            raise KeyboardInterrupt
        numbers.append(block.number)
        return do_block(context, block)

    monkeypatch.setattr(run, "do_block", task)
    return numbers, stop


@pytest.fixture
def light(monkeypatch):
    """Keep the combined layers in place of whole products, which take seconds."""
    written: list[dict[str, np.ndarray]] = []

    def keep(results, *_):
        written.append({name: layer.values for name, layer in results["combined"].data_vars.items()})

    monkeypatch.setattr(run, "_write", keep)
    return written


def same(found, undisturbed):
    """Tell whether layers are those of the undisturbed run, to the last bit."""
    for name, values in found.items():
        with rasterio.open(undisturbed / f"{name}.tif") as file:
            np.testing.assert_array_equal(file.read().squeeze(), values.squeeze(), err_msg=name)
    return True


def test_products_lie_on_the_cubes_grid(undisturbed, geobox):
    for folder in (undisturbed, undisturbed / "orbit-037-descending"):
        with rasterio.open(folder / "change.tif") as file:
            assert file.crs.to_epsg() == 32631
            assert file.transform == geobox.affine
            assert file.shape == tuple(geobox.shape)
            assert file.nodata == 255
            assert (file.read(1) == 1).sum() > 300
        assert {"score.tif", "date.tif", "count.tif", "polygons.gpkg", "item.json", "report.html"} <= {
            path.name for path in folder.iterdir()
        }
    assert not (undisturbed / WORK).exists()


def test_provenance_names_settings_and_acquisitions_once(undisturbed):
    summary = read_summary(undisturbed)
    assert summary.configuration["robust"]["history"] == 6
    assert "acquisitions" not in summary.configuration
    assert len(summary.acquisitions) == 16
    assert summary.inputs == ["place.zarr"]
    page = (undisturbed / "report.html").read_text(encoding="utf-8")
    assert "Previous images of the same orbit" in page


def test_a_complete_run_is_not_done_again(undisturbed, cube, settings, counted):
    before = {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")}
    assert run_detect(settings(out=undisturbed, memory="3 GiB", workers=2)) == undisturbed
    assert {path: path.stat().st_mtime_ns for path in undisturbed.rglob("*")} == before
    assert counted[0] == []


@pytest.mark.parametrize(
    ("other", "keys"),
    [
        ({"robust": {**QUICK, "degree": 2}}, "robust.degree"),
        ({"method": "omnibus", "confirm": 2}, "method, confirm"),
        ({"end": "2023-05-01"}, "end, acquisitions"),
    ],
)
def test_other_settings_into_the_same_folder_are_refused(undisturbed, settings, other, keys):
    with pytest.raises(ConflictError, match=f"differ in {keys}; choose another folder, or --overwrite"):
        run_detect(settings(out=undisturbed, **other))


def test_a_stopped_run_goes_on_with_the_missing_blocks(undisturbed, settings, counted, cut):
    numbers, stop = counted
    cut(40)
    stop.append(4)
    with pytest.raises(KeyboardInterrupt):
        run_detect(settings())
    out = settings().out
    assert not (out / "change.tif").exists()
    assert len(list((out / WORK).rglob("block-*"))) == 4
    stop.clear()
    cut(64)  # the blocks of the first run stay
    assert run_detect(settings(memory="1 GiB")) == out
    assert sorted(numbers) == list(range(6))
    assert compare(undisturbed, out, tolerance=WHOLE) == []


def test_a_stop_while_writing_products_costs_no_block(
    undisturbed, settings, counted, cut, light, monkeypatch
):
    cut(40)
    with monkeypatch.context() as patch:
        patch.setattr(run, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_detect(settings())
    run_detect(settings())
    assert len(counted[0]) == 6
    assert same(light[0], undisturbed)


def test_an_unfinished_run_with_other_settings(settings, counted, cut, light):
    cut(40)
    counted[1].append(1)
    with pytest.raises(KeyboardInterrupt):
        run_detect(settings())
    counted[1].clear()
    with pytest.raises(ConflictError, match=r"unfinished run that differs in robust\.degree; use the same"):
        run_detect(settings(robust={**QUICK, "degree": 2}))
    run_detect(settings(robust={**QUICK, "degree": 2}, overwrite=True))
    assert len(counted[0]) == 1 + 6
    assert len(light) == 1


def test_overwrite_replaces_results(undisturbed, settings, cut):
    cut(100)
    out = settings().out
    shutil.copytree(undisturbed, out)
    run_detect(settings(method="logratio", overwrite=True))
    assert read_summary(out).method == "logratio"
    assert compare(undisturbed, out) != []
    assert not (out / WORK).exists()


def test_a_folder_of_something_else_is_not_touched(settings):
    out = settings().out
    out.mkdir()
    (out / "summary.json").write_text("{}")
    with pytest.raises(ConflictError, match="differ in"):
        run_detect(settings())
    (out / "summary.json").write_text("{")
    with pytest.raises(ConflictError, match="damaged"):
        run_detect(settings())


def test_a_place_that_cannot_be_written(settings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write to .*file"):
        run_detect(settings(out=tmp_path / "file" / "out"))


def test_two_runs_into_one_folder(tmp_path):
    with (
        Store(tmp_path, {"method": "robust"}),
        pytest.raises(LockedError, match="another process is working in"),
        Store(tmp_path, {"method": "robust"}),
    ):
        pass


def die(context, item):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(context, item):
    raise InputError(f"{item} is no good")


@pytest.mark.parametrize(("task", "words"), [(die, "a worker process was killed"), (refuse, "7 is no good")])
def test_failing_workers_are_one_clear_line(cube, settings, task, words, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])  # the workers load these tasks by name
    context = run._context(run.open_cube(cube), settings())
    with pytest.raises(TerradeltaError, match=words), Crew(context, cube, 2) as crew:
        list(crew.run(task, [7]))


SCRIPT = """
import sys
from terradelta.errors import TerradeltaError
from terradelta.workflows.config import DetectSettings, load_settings
from terradelta.workflows.detect import run, run_detect

run.choose = lambda *_, block=None, **__: (2, block or 40)

if __name__ == "__main__":
    given = {"cube": sys.argv[1], "out": sys.argv[2]}
    given["robust"] = {"history": 6, "fewest": 3, "tv_iterations": 15, "degree": 1, "fit_iterations": 4}
    try:
        run_detect(load_settings(DetectSettings, given=given))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def children(process: int) -> list[int]:
    path = Path(f"/proc/{process}/task/{process}/children")
    return [int(number) for number in path.read_text().split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("waited too long")
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at processes in /proc")
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_with_workers_leaves_no_process_and_goes_on(
    undisturbed, cube, tmp_path, settings, cut, signal_number, light
):
    (tmp_path / "script.py").write_text(SCRIPT)
    out = tmp_path / "out"
    command = [sys.executable, str(tmp_path / "script.py"), str(cube), str(out)]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: list((out / WORK).rglob("block-*")))
        family = children(process.pid)
        assert len(family) >= 2
        # as a terminal does: Ctrl-C goes to every process of the group
        (os.killpg if signal_number == signal.SIGINT else os.kill)(process.pid, signal_number)
        errors = process.communicate(timeout=60)[1]
    wait_for(lambda: not any(alive(child) for child in family), 20)
    assert process.returncode == (130 if signal_number == signal.SIGINT else -signal.SIGKILL)
    if signal_number == signal.SIGINT:
        assert errors == ""
    cut(40)
    run_detect(settings(out=out))
    assert same(light[0], undisturbed)


def test_summary_is_plain_json(undisturbed):
    found = json.loads((undisturbed / "summary.json").read_text(encoding="utf-8"))
    assert found["configuration"]["method"] == "robust"
    assert np.isfinite(found["change"]["changed_share"])
