"""Urban monitoring as a user types it: results, going on, growing, and bad input at the door."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

import terradelta as td
from terradelta.workflows.monitor import run

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("plain_pictures")

SIZE, STRIDE = 16, 10
START = np.datetime64("2020-01-01T05:00", "ns")
GRID = GeoBox((SIZE, SIZE), Affine(10.0, 0.0, 600_000.0, 0.0, -10.0, 5_600_000.0), "EPSG:32631")
BANDS = td.urban.S1S2.optical_bands


def _text(values: Any) -> xr.Variable:
    return xr.Variable("time", np.array(list(values), object))


def _moments(first: int, every: int, days: int) -> np.ndarray:
    return START + np.arange(first, days, every) * np.timedelta64(1, "D")


def make_place(days: int = 290) -> xr.DataTree:
    """Two radar directions every 12 days, optical images every 6; brighter from the 150th day in a corner."""
    rng = np.random.default_rng(5)
    passes = sorted(
        [(time, "ascending", 88) for time in _moments(0, 12, days)]
        + [(time, "descending", 37) for time in _moments(4, 12, days)]
    )
    times = np.array([one[0] for one in passes])
    light = _moments(2, 6, days)
    radar = rng.gamma(4, 0.03, (len(times), 2, SIZE, SIZE)).astype("float32")
    optical = rng.uniform(0.05, 0.3, (len(light), len(BANDS), SIZE, SIZE)).astype("float32")
    for values, moments in ((radar, times), (optical, light)):
        values[moments >= START + np.timedelta64(150, "D"), :, 4:12, 5:14] *= 3
    clear = rng.random((len(light), SIZE, SIZE)) > 0.2
    sar = xr.Dataset(
        {"backscatter": (("time", "band", "y", "x"), radar)},
        coords={
            "time": times, "band": np.array(["VV", "VH"], object),
            "orbit_direction": _text(one[1] for one in passes),
            "relative_orbit": ("time", np.array([one[2] for one in passes], "int32")),
            "platform": _text("S1A" for _ in passes), "source_id": _text(str(one[0]) for one in passes),
            "incidence_angle": ("time", np.full(len(passes), 38, "float32")),
            "heading": ("time", np.full(len(passes), -10, "float32")), **xr_coords(GRID),
        },
    )  # fmt: skip
    scenes = xr.Dataset(
        {"reflectance": (("time", "band", "y", "x"), optical), "clear": (("time", "y", "x"), clear)},
        coords={
            "time": light, "band": np.array(BANDS, object), "platform": _text("S2A" for _ in light),
            "source_id": _text(str(one) for one in light),
            "offset_applied": ("time", np.ones(len(light), bool)), **xr_coords(GRID),
        },
    )  # fmt: skip
    return xr.DataTree.from_dict({"sar": sar, "optical": scenes})


def until(tree: xr.DataTree, day: int) -> xr.DataTree:
    """Cut a place off after some days."""
    end = START + np.timedelta64(day, "D")
    parts = {name: node.to_dataset() for name, node in tree.children.items()}
    return xr.DataTree.from_dict({name: part.isel(time=part.time < end) for name, part in parts.items()})


def changed(tree: xr.DataTree, **groups: Callable[[xr.Dataset], xr.Dataset | None]) -> xr.DataTree:
    """Change some groups of a place, or leave them out."""
    parts: dict[str, Any] = {name: node.to_dataset() for name, node in tree.children.items()}
    parts |= {name: change(parts[name]) for name, change in groups.items()}
    return xr.DataTree.from_dict({name: part for name, part in parts.items() if part is not None})


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Spare tiny arrays the waiting of threads for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place() -> xr.DataTree:
    return make_place()


@pytest.fixture(scope="module")
def city(place: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube with four complete windows; not to be changed."""
    path = tmp_path_factory.mktemp("monitor") / "city.zarr"
    td.cube.write_cube(place, path)
    return path


@pytest.fixture
def short(place: xr.DataTree, tmp_path: Path) -> Callable[..., Path]:
    """Write a cube of the first days, with some groups changed."""

    def write(days: int = 40, **groups: Any) -> Path:
        td.cube.write_cube(changed(until(place, days), **groups), tmp_path / "place.zarr")
        return tmp_path / "place.zarr"

    return write


def save_net(folder: Path, seed: int, era: str = "s1s2", branches: Any = "both") -> Path:
    torch.manual_seed(seed)
    net = td.urban.ERCNN(era, branches)
    with torch.no_grad():
        net.out.weight *= 8  # random networks say 0.5 everywhere; this one has opinions
    net.origin = f"seed {seed}"
    net.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("nets")
    return save_net(folder / "one", 4), save_net(folder / "two", 2)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out pictures and films, which take most of the time."""
    monkeypatch.setattr(run.Extras, "__call__", lambda *_: [])


Start = Callable[..., Any]


@pytest.fixture
def monitor(cli: Any, bare: None, nets: tuple[Path, Path]) -> Start:
    """Run the verb without pictures."""

    def start(cube: Path, out: Path, *more: Any, weights: Any = None) -> Any:
        return cli(
            "monitor",
            cube,
            out,
            "--weights",
            weights or nets[0],
            "--stride",
            STRIDE,
            "--video",
            "none",
            *more,
        )

    return start


@pytest.fixture(scope="module")
def found(city: Path, nets: tuple[Path, Path]) -> Path:
    """Results without pictures; not to be changed."""
    from terradelta.workflows.config import MonitorSettings, load_settings

    out = city.parent / "found"
    told = {"cube": city, "out": out, "weights": [nets[0]], "stride": STRIDE, "video": "none"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Extras, "__call__", lambda *_: [])
        return run.run_monitor(load_settings(MonitorSettings, given=told))


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


def maps_of(out: Path) -> np.ndarray:
    return np.asarray(td.urban.open_maps(out / "windows.zarr")["mean"].values)


# results


def test_maps_are_those_of_the_library(found: Path, city: Path, nets: tuple[Path, Path]):
    expected = td.urban.monitor(td.open_cube(city), td.urban.load_network(nets[0]), stride=STRIDE)
    assert expected.sizes["window"] == 4
    np.testing.assert_allclose(maps_of(found), expected.values, atol=1e-6)
    values = maps_of(found)
    np.testing.assert_allclose(read(found / "score.tif"), values.max(axis=0), atol=1e-6)
    middle = expected["time"].values.astype("datetime64[D]").astype(int)
    np.testing.assert_array_equal(read(found / "change.tif"), (values > 0.5).any(axis=0))
    np.testing.assert_array_equal(read(found / "count.tif"), (values > 0.5).sum(axis=0))
    above = (values > 0.5).any(axis=0)
    assert above.any()
    assert not above.all()
    first = middle[(values > 0.5).argmax(axis=0)]
    np.testing.assert_array_equal(read(found / "first.tif")[above], first[above])
    assert (read(found / "first.tif")[~above] == -1).all()
    with rasterio.open(found / "score.tif") as file:
        assert (file.crs.to_epsg(), file.transform) == (32631, GRID.affine)
    assert {"last.tif", "date.tif", "polygons.gpkg", "item.json", "report.html", "change.qml"} <= {
        path.name for path in found.iterdir()
    }
    assert [path.name for path in found.glob(".*")] == [".windows.zarr.lock"]


def test_provenance_names_networks_settings_and_images(found: Path, nets: tuple[Path, Path]):
    import hashlib

    told = json.loads((found / "summary.json").read_text())
    (network,) = told["configuration"]["networks"]
    weights = (nets[0] / "model.safetensors").read_bytes()
    assert network == {
        "file": "one", "sha256": hashlib.sha256(weights).hexdigest(), "origin": "seed 4", "era": "s1s2",
        "branches": "both",
    }  # fmt: skip
    assert told["configuration"]["stride"] == STRIDE
    assert told["inputs"] == ["city.zarr", "one"]
    assert {image["orbit"] for image in told["acquisitions"]} == {"88 ascending", "37 descending", "optical"}
    assert len(told["acquisitions"]) == 25 + 24 + 48
    assert "seed 4" in (found / "report.html").read_text(encoding="utf-8")


def test_again_says_that_all_is_done(found: Path, city: Path, field: Any, monitor: Start):
    before = field.digest(found)
    outcome = monitor(city, found, "--memory", "3 GB")
    outcome.done("4 windows, 2020-01-01 to 2020-", "% changed", "ha in", "report.html")
    assert outcome.complaints == []
    assert "writing products" not in outcome.err
    assert field.digest(found) == before


def test_other_settings_need_overwrite(
    found: Path, city: Path, nets: tuple[Path, Path], tmp_path: Path, field: Any, monitor: Start
):
    out = shutil.copytree(found, tmp_path / "out")
    before = field.digest(out)
    monitor(city, out, "--threshold", 0.6).refused("differ in threshold", "--overwrite")
    monitor(city, out, weights=nets[1]).refused("differ in networks", "--overwrite")
    assert field.digest(out) == before
    monitor(city, out, "--threshold", 0.6, "--overwrite").done("4 windows")
    after = field.digest(out)
    maps = [name for name in before if name.startswith("windows.zarr/mean")]
    assert maps
    assert {name: after[name] for name in maps} == {name: before[name] for name in maps}
    np.testing.assert_array_equal(read(out / "change.tif"), (maps_of(out) > 0.6).any(axis=0))
    monitor(city, out, "--overwrite", weights=nets[1]).done("4 windows")
    assert not np.allclose(maps_of(out), maps_of(found))


def test_a_growing_cube_costs_only_its_new_windows(
    found: Path, place: xr.DataTree, tmp_path: Path, monitor: Start, monkeypatch: pytest.MonkeyPatch
):
    cube, out = tmp_path / "city.zarr", tmp_path / "out"
    td.cube.write_cube(until(place, 235), cube)
    monitor(cube, out).done("2 windows")
    td.cube.write_cube(place, cube)
    read_frames: list[int] = []
    frames = td.urban.Stack.frames

    def counted(self: Any, *part: slice, first: int = 0, last: int | None = None) -> Any:
        read_frames.append(first)
        return frames(self, *part, first=first, last=last)

    monkeypatch.setattr(td.urban.Stack, "frames", counted)
    monitor(cube, out).done("4 windows")
    assert read_frames == [2 * STRIDE]
    np.testing.assert_array_equal(maps_of(out), maps_of(found))
    np.testing.assert_array_equal(read(out / "score.tif"), read(found / "score.tif"))
    assert len(json.loads((out / "summary.json").read_text())["acquisitions"]) == 97


def test_interrupted_it_goes_on(
    city: Path, tmp_path: Path, nets: tuple[Path, Path], monitor: Start, monkeypatch: pytest.MonkeyPatch
):
    from terradelta.urban.store import MapStore

    out, done, pieces = tmp_path / "out", MapStore.done, []

    def stop_after_two(self: Any, piece: int) -> None:
        done(self, piece)
        pieces.append(piece)
        if len(pieces) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(MapStore, "done", stop_after_two)
    monitor(city, out, "--tile", 24).refused("interrupted; the same command goes on", code=130)
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == ["windows.zarr"]
    monitor(city, out, "--tile", 24).done("4 windows")
    assert pieces == list(range(4))
    whole = td.urban.monitor(city, td.urban.load_network(nets[0]), stride=STRIDE, tile=24)
    np.testing.assert_allclose(maps_of(out), whole, atol=1e-6)


def test_ensemble(city: Path, tmp_path: Path, nets: tuple[Path, Path], cli: Any, bare: None):
    arguments = ["monitor", city, tmp_path / "out", "--stride", STRIDE, "--video", "none"]
    cli(*arguments, "--weights", nets[0], "--weights", nets[1]).done("4 windows")
    maps = td.urban.open_maps(tmp_path / "out" / "windows.zarr").load()
    each = [td.urban.monitor(td.open_cube(city), td.urban.load_network(net), stride=STRIDE) for net in nets]
    both = np.stack([one.values for one in each])
    np.testing.assert_allclose(maps["mean"], both.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(maps["maximum"], both.max(axis=0), atol=1e-6)
    assert (tmp_path / "out" / "spread.tif").exists()
    cli(*arguments, "--weights", f"{nets[0]},{nets[1]}").done("4 windows")  # nothing to do
    cli(*arguments, "--weights", f"{nets[0]},{nets[1]}", "--statistic", "maximum", "--overwrite").done()
    np.testing.assert_allclose(read(tmp_path / "out" / "score.tif"), both.max(axis=(0, 1)), atol=1e-6)


def test_period_and_incomplete_windows(city: Path, tmp_path: Path, monitor: Start):
    monitor(city, tmp_path / "all", "--incomplete").done("7 windows")
    monitor(city, tmp_path / "part", "--start", "2020-02-01", "--end", "2020-09-29").done(
        "window", "2020-02-0"
    )
    ends = td.urban.open_maps(tmp_path / "part" / "windows.zarr")["end"].values
    assert ends.max() < np.datetime64("2020-09-30")
    told = json.loads((tmp_path / "part" / "summary.json").read_text())["acquisitions"]
    assert (told[0]["time"][:10], told[-1]["time"][:10]) == ("2020-01-01", "2020-09-29")


def test_everything_at_once(city: Path, tmp_path: Path, nets: tuple[Path, Path], cli: Any):
    pytest.importorskip("av")
    out = tmp_path / "out"
    inside = "600105,5599895;3.0,47"  # the second is no place of this cube
    arguments = ["monitor", city, out, "--weights", nets[0], "--stride", STRIDE]
    cli(*arguments, "--points", inside).refused("3,47 is not within the cube", "--points-crs")
    assert not out.exists()
    cli(*arguments, "--points", "600105,5599895", "--points", "600015,5599985").done("report.html")
    assert {"overlay.png", "windows.mp4", "windows.gif", "timelines.csv", "timelines.png"} <= {
        path.name for path in out.iterdir()
    }
    rows = (out / "timelines.csv").read_text().splitlines()
    assert sum(row.startswith("point 1,") for row in rows) == 4
    first = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert float(first["mean"]) == pytest.approx(maps_of(out)[0, 10, 10], abs=1e-4)
    page = (out / "report.html").read_text(encoding="utf-8")
    for name in ("windows.mp4", "windows.gif", "timelines.csv"):
        assert name in page
    assert "windows.mp4" in (out / "item.json").read_text()


def test_published_weights(city: Path, tmp_path: Path, shared: Path, monitor: Start):
    weights = shared / "reference" / "ercnn" / "weights_s1s2.hdf5"
    monitor(city, tmp_path / "out", weights=weights).done("4 windows")
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["configuration"]["networks"]
    assert [(one["file"], one["era"]) for one in told] == [("weights_s1s2.hdf5", "s1s2")]


# bad input: one line, exit code 2, nothing lost and nothing half-written


@pytest.fixture
def refused(short: Any, tmp_path: Path, field: Any, monitor: Start) -> Callable[..., str]:
    """Check that a cube is refused and left as it is, and that there is no output."""

    def check(
        *words: str, cube: Path | None = None, weights: Any = None, more: Any = (), **groups: Any
    ) -> str:
        path = cube or short(**groups)
        before = field.digest(path)
        line = monitor(path, tmp_path / "out", *more, weights=weights).refused(*words)
        assert field.digest(path) == before
        assert not (tmp_path / "out").exists()
        return line

    return check


def test_no_optical_images(refused: Any):
    refused("no optical images", "sar", optical=lambda _: None)


def test_no_radar(refused: Any):
    refused("no radar images", "optical", sar=lambda _: None)


def _ascending(sar: xr.Dataset) -> xr.Dataset:
    return sar.isel(time=sar.orbit_direction == "ascending")


def test_one_direction(refused: Any):
    refused("no descending radar images", 'branches="optical"', sar=_ascending)


def test_one_direction_is_enough_for_the_optical_branch(short: Any, tmp_path: Path, monitor: Start):
    net = save_net(tmp_path / "optical", 3, branches="optical")
    out = tmp_path / "out"
    monitor(short(290, sar=_ascending), out, "--fewest", 20, weights=net).done("2 windows")
    told = json.loads((out / "summary.json").read_text())
    assert {image["orbit"] for image in told["acquisitions"]} == {"optical"}


def _rewrite(cube: Path, array: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Change pixels behind the back of the library, which takes none of these."""
    values = zarr.open_array(str(cube / array), mode="r+")
    values[...] = change(np.asarray(values[...]))
    return cube


def test_decibel(refused: Any, short: Any):
    cube = _rewrite(short(), "sar/backscatter", lambda power: 10 * np.log10(power))
    refused("linear power", "decibel", "to_linear", cube=cube)


def test_digital_numbers(refused: Any, short: Any):
    cube = _rewrite(short(), "optical/reflectance", lambda reflectance: 10_000 * reflectance)
    refused("optical", "digital numbers", "divide by 10000", cube=cube)


def test_missing_bands(refused: Any):
    refused("lack the bands B10, B12", optical=lambda one: one.isel(band=[*range(10), 11]))


def test_bands_in_another_order_give_the_same(found: Path, short: Any, tmp_path: Path, monitor: Start):
    turned = {
        "sar": lambda one: one.isel(band=[1, 0]),
        "optical": lambda one: one.isel(band=slice(None, None, -1)),
    }
    monitor(short(290, **turned), tmp_path / "out").done("4 windows")
    np.testing.assert_array_equal(maps_of(tmp_path / "out"), maps_of(found))


def test_too_few_observations(refused: Any):
    refused("no window of 182 days has enough observations", "the fullest has 14, needed are 35")


def test_all_windows_cut_short(refused: Any, place: xr.DataTree, tmp_path: Path):
    td.cube.write_cube(until(place, 130), tmp_path / "half.zarr")
    refused("cuts all windows short", "incomplete", cube=tmp_path / "half.zarr")


def test_weights_of_the_other_era(refused: Any, tmp_path: Path):
    net = save_net(tmp_path / "old", 4, "ers12ls5")
    refused("era ers12ls5", "images of s1s2", "give weights of that era", weights=net)


def test_networks_that_do_not_belong_together(refused: Any, tmp_path: Path, nets: tuple[Path, Path]):
    net = save_net(tmp_path / "old", 4, "ers12ls5")
    refused("the networks differ", "one era", weights=f"{nets[0]},{net}")
    refused("given twice", cube=tmp_path / "place.zarr", weights=f"{nets[0]},{nets[0]}")


def test_damaged_weights(refused: Any, tmp_path: Path, nets: tuple[Path, Path]):
    net = shutil.copytree(nets[0], tmp_path / "net")
    whole = (net / "model.safetensors").read_bytes()
    (net / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused("model.safetensors", weights=net)
    cube = tmp_path / "place.zarr"
    refused("no network at", cube=cube, weights=tmp_path / "gone.hdf5")
    (tmp_path / "text.hdf5").write_text("no weights")
    refused("text.hdf5", cube=cube, weights=tmp_path / "text.hdf5")


def test_damaged_published_weights(refused: Any, city: Path, tmp_path: Path, shared: Path):
    hdf5 = (shared / "reference" / "ercnn" / "weights_s1s2.hdf5").read_bytes()
    (tmp_path / "cut.hdf5").write_bytes(hdf5[: len(hdf5) // 2])
    refused("cut.hdf5", cube=city, weights=tmp_path / "cut.hdf5")


def test_tile_larger_than_the_area(refused: Any, city: Path):
    refused("tile is 32", "16 x 16", "at most 16", cube=city, more=("--tiling", "original"))


def test_settings_that_make_no_sense(refused: Any, city: Path):
    for option, value, *words in (
        ("--threshold", 1.5, "threshold is '1.5'"),
        ("--stride", 0, "stride is '0'"),
        ("--tile", 12, "dead_zone is 8", "tile of 12"),
        ("--points", "5.57", "no points; write x,y;x,y"),
        ("--memory", "300 MB", "memory is 286 MiB", "at least"),
        ("--device", "abacus", "device is 'abacus'"),
        ("--start", "2030-01-01", "2030-01-01"),
    ):
        refused(*words, cube=city, more=(option, value))
    refused("is after", cube=city, more=("--start", "2020-05-01", "--end", "2020-04-01"))
    refused("points_crs is 'nowhere'", cube=city, more=("--points", "1,1", "--points-crs", "nowhere"))


def _grow(monkeypatch: pytest.MonkeyPatch, cube: Path, when: str) -> None:
    """Append an image to a cube while its frames are read."""
    frames, image = td.urban.Stack.frames, np.full((2, SIZE, SIZE), 0.1, "float32")
    late = td.cube.SarAcquisition(
        time=when, bands=("VV", "VH"), backscatter=image, orbit_direction="ascending", relative_orbit=15
    )

    def reading(self: Any, *part: slice, **which: Any) -> Any:
        td.cube.append(cube, late)
        return frames(self, *part, **which)

    monkeypatch.setattr(td.urban.Stack, "frames", reading)


def test_a_cube_that_changed_below_the_run(
    city: Path, tmp_path: Path, monitor: Start, monkeypatch: pytest.MonkeyPatch
):
    cube, out = shutil.copytree(city, tmp_path / "city.zarr"), tmp_path / "out"
    with monkeypatch.context() as patch:
        _grow(patch, cube, "2020-03-01T17:00")
        monitor(cube, out).refused("changed while it was read", "run the same command again")
    assert not (out / "summary.json").exists()
    monitor(cube, out).done("4 windows")
    monitor(cube, tmp_path / "fresh").done("4 windows")
    np.testing.assert_array_equal(maps_of(out), maps_of(tmp_path / "fresh"))


def test_a_cube_that_only_grew_below_the_run(
    found: Path, city: Path, tmp_path: Path, monitor: Start, monkeypatch: pytest.MonkeyPatch
):
    cube, out = shutil.copytree(city, tmp_path / "city.zarr"), tmp_path / "out"
    with monkeypatch.context() as patch:
        _grow(patch, cube, "2020-12-01T17:00")
        told = monitor(cube, out)
        told.done("4 windows")
    assert len(told.complaints) == 1
    assert told.complaints[0].startswith("note: ")
    assert "has grown meanwhile" in told.complaints[0]
    np.testing.assert_array_equal(maps_of(out), maps_of(found))


def test_a_folder_of_something_else(city: Path, tmp_path: Path, monitor: Start):
    out = tmp_path / "out"
    (out / "windows.zarr").mkdir(parents=True)
    (out / "windows.zarr" / "mine.txt").write_text("mine")
    monitor(city, out).refused("windows.zarr is there and holds no window maps")
    assert [path.name for path in out.rglob("*") if path.is_file() and path.suffix == ".txt"] == ["mine.txt"]
    (tmp_path / "file").write_text("")
    monitor(city, tmp_path / "file").refused("file")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "summary.json").write_text("{")
    monitor(city, tmp_path / "broken").refused("summary.json is damaged", "--overwrite")


PUT_ASIDE = """
import importlib.abc, sys
class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == {!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Gone())
"""


def test_packages_that_are_not_installed(city: Path, tmp_path: Path, nets: tuple[Path, Path], process: Any):
    arguments = ("monitor", city, tmp_path / "out", "--weights", nets[0])
    process(*arguments, "--video", "none", before=PUT_ASIDE.format("torch")).refused(
        "needs PyTorch", "pip install 'terradelta[networks]'"
    )
    process(*arguments, before=PUT_ASIDE.format("av")).refused(
        "films need av", "pip install 'terradelta[video]'", "--video none"
    )
    assert not (tmp_path / "out").exists()
