"""Monitoring, prediction and detection on the workers of a scheduler: byte by byte what one machine gives."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import create_cube, open_cube
from terradelta.cube.manifest import Manifest
from terradelta.errors import InputError
from terradelta.sources.layers import Flight
from terradelta.sources.remote.collecting import Limits, collect
from terradelta.sources.remote.offers import Images, Offer
from terradelta.workflows.config import MonitorSettings, PredictSettings, load_settings
from terradelta.workflows.detect import detect
from terradelta.workflows.executing import executing
from terradelta.workflows.monitor.plan import Plan

torch = pytest.importorskip("torch")
pytest.importorskip("distributed")

from terradelta.expected import predict  # noqa: E402
from terradelta.urban import monitor  # noqa: E402

Advance = Callable[[int], None]


def _module(part: str, name: str) -> ModuleType:
    file = Path(__file__).parents[1] / part / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


places, models = _module("urban", "urban_places"), _module("expected", "scene_models")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Compute here as workers do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return places.fill(tmp_path_factory.mktemp("scheduler") / "city.zarr", range(24))


@pytest.fixture(scope="module")
def executor(cluster: Any) -> Iterator[Any]:
    with executing(cluster.scheduler_address) as executor:
        yield executor


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=20)
        yield client


def files(folder: Path) -> dict[str, bytes]:
    every = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in every}


def processes(client: Any) -> set[int]:
    return set(client.run(os.getpid).values())


@contextmanager
def killing(client: Any, label: str) -> Iterator[Callable[[str, int], Any]]:
    """Give a progress that kills a worker with work in hand after the first step of some work."""
    before = processes(client)
    killed: list[int] = []

    @contextmanager
    def progress(name: str, total: int) -> Iterator[Advance]:
        def advance(steps: int) -> None:
            if name != label or killed or not steps:
                return
            busy = {worker: len(keys) for worker, keys in client.processing().items()}
            worker = max(busy, key=busy.__getitem__)
            assert busy[worker], "nothing was in flight"
            killed.extend(client.run(os.getpid, workers=[worker]).values())
            os.kill(killed[0], signal.SIGKILL)

        yield advance

    yield progress
    client.wait_for_workers(2, timeout=20)
    assert killed and killed[0] in before and killed[0] not in processes(client)


# monitoring

SETTINGS = {"stride": 3, "tile": 16, "dead_zone": 2}


@pytest.fixture(scope="module")
def maps(city: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one machine writes: six pieces of two networks."""
    store = tmp_path_factory.mktemp("maps") / "maps.zarr"
    monitor(city, [places.network(0), places.network(1)], store=store, **SETTINGS)
    return files(store)


def test_monitoring_is_equal_to_the_byte(
    city: Path, executor: Any, maps: dict[str, bytes], tmp_path: Path
) -> None:
    nets = [places.network(0), places.network(1)]
    found = monitor(open_cube(city), nets, store=tmp_path / "maps.zarr", executor=executor, **SETTINGS)
    assert files(tmp_path / "maps.zarr") == maps and len(maps) > 6
    held = monitor(city, nets, executor=executor, **SETTINGS)
    np.testing.assert_array_equal(held.values, found.values)


def test_monitoring_with_a_worker_killed(
    city: Path, client: Any, executor: Any, maps: dict[str, bytes], tmp_path: Path
) -> None:
    nets = [places.network(0), places.network(1)]
    with killing(client, "window maps") as progress:
        monitor(city, nets, store=tmp_path / "maps.zarr", executor=executor, progress=progress, **SETTINGS)
    assert files(tmp_path / "maps.zarr") == maps


def test_stopped_on_a_scheduler_completed_here(
    city: Path, executor: Any, maps: dict[str, bytes], tmp_path: Path
) -> None:
    @contextmanager
    def stopping(name: str, total: int) -> Iterator[Advance]:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if done > total / 2:
                raise KeyboardInterrupt

        yield advance

    nets, store = [places.network(0), places.network(1)], tmp_path / "maps.zarr"
    with pytest.raises(KeyboardInterrupt):
        monitor(city, nets, store=store, executor=executor, progress=stopping, **SETTINGS)
    assert files(store) and files(store) != maps
    monitor(city, nets, store=store, **SETTINGS)
    assert files(store) == maps


def test_a_cube_in_memory_stays_here(city: Path, executor: Any) -> None:
    tree = open_cube(city)
    tree.encoding.clear()
    with pytest.raises(InputError, match="the cube is in memory, which others cannot read; write it"):
        monitor(tree, places.network(0), executor=executor)


# the expected image


@pytest.fixture(scope="module")
def expected(cube: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = tmp_path_factory.mktemp("expected") / "expected.zarr"
    predict(model(), cube, store=store, **TILES)
    return files(store)


TILES: dict[str, Any] = {"block": 64, "overlap": 4, "memory": 5e9, "neighbourhood": 48}


def model() -> Any:
    return models.conditioned(models.Preparation("lee", "scene"), weather=False, static=0)


def test_the_expected_image_is_equal_to_the_byte(
    cube: Path, executor: Any, expected: dict[str, bytes], tmp_path: Path
) -> None:
    predict(model(), cube, store=tmp_path / "expected.zarr", executor=executor, device="cpu", **TILES)
    assert files(tmp_path / "expected.zarr") == expected


def test_the_expected_image_with_a_worker_killed(
    cube: Path, client: Any, executor: Any, expected: dict[str, bytes], tmp_path: Path, monkeypatch: Any
) -> None:
    from terradelta.expected.prediction.layers import KeptTiles

    store = tmp_path / "expected.zarr"
    with killing(client, "tiles") as progress, progress("tiles", 1) as advance:
        require = KeptTiles.require

        def requiring(tiles: KeptTiles, numbers: Any) -> None:
            tile, values = next(tiles.coming)
            tiles.sink.keep(tile, values)
            tiles.waiting.remove(tile)
            advance(1)
            require(tiles, numbers)

        monkeypatch.setattr(KeptTiles, "require", requiring)
        predict(model(), cube, store=store, executor=executor, device="cpu", **TILES)
    assert files(store) == expected


# the verbs


def test_predict_takes_an_address_and_knows_its_results_again(
    cluster: Any, cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from terradelta.workflows.predict import run_predict

    monkeypatch.chdir(tmp_path)  # paths are relative, and workers are elsewhere
    (tmp_path / "place.zarr").symlink_to(cube)
    model().save_pretrained("model")
    told = {"block": 64, "overlap": 4, "neighbourhood": 48}
    predict(model(), cube, store="alone.zarr", **told)

    given = {"run": "model", "cube": "place.zarr", "out": "out"} | told

    def run(address: str | None) -> Path:
        return run_predict(load_settings(PredictSettings, given=given | {"scheduler": address}))

    out = run(cluster.scheduler_address)
    assert files(out / "expected.zarr") == files(Path("alone.zarr"))
    assert "tcp://" not in (out / "summary.json").read_text()
    before = files(out)
    assert run("tcp://nowhere:1") == run(None) == out and files(out) == before


def test_detection_is_equal(cluster: Any, cube: Path) -> None:
    quick = {"history": 6, "fewest": 3, "tv_iterations": 15, "degree": 1, "fit_iterations": 4}
    told = {"robust": quick, "neighbourhood": 48, "time": "last"}
    alone, equal = (detect(cube, scheduler=one, **told) for one in (None, cluster.scheduler_address))
    for name, layer in alone["combined"].data_vars.items():
        np.testing.assert_array_equal(layer.values, equal["combined"][name].values)


def test_an_address_is_no_setting_of_the_results(tmp_path: Path) -> None:
    networks = [{"file": "a", "sha256": "1", "origin": "", "era": "tiny", "branches": "both"}]
    given = {"cube": "c.zarr", "out": tmp_path, "weights": "a"}
    here, there = (
        load_settings(MonitorSettings, given=given | {"scheduler": one}) for one in (None, "tcp://a:1")
    )
    told = [Plan(one, networks, []).provenance("m").configuration for one in (here, there)]
    assert told[0] == told[1] and "scheduler" not in told[0]


# building


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of radar images of 1100 x 1050 pixels, four blocks each."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(8):
        values = np.random.default_rng(number).gamma(4, 0.02, (1100, 1050)).astype("f4")
        day = str(np.datetime64("2020-01-02") + 6 * number).replace("-", "")
        with rasterio.open(
            folder / f"S1A_{day}T173000_VV.tif", "w", driver="GTiff", count=1, height=1100, width=1050,
            dtype="float32", crs="EPSG:32631", transform=Affine(10, 0, 500_000, 0, -10, 5_000_000),
            tiled=True,
        ) as file:  # fmt: skip
            file.write(values + np.float32(1e-4), 1)
            file.update_tags(relative_orbit="88", orbit_direction="ascending")
    return folder


def test_reading_on_workers_gives_the_same_cube(archive: Path, cluster: Any, tmp_path: Path) -> None:
    from terradelta.workflows.building.run import run_build
    from terradelta.workflows.config import BuildSettings

    told = {
        "place": "3.0,45.06,3.13,45.15",
        "source": [str(archive)],
        "time": "2020",
        "polarisations": ["VV"],
    }
    run_build(load_settings(BuildSettings, given=told | {"cube": tmp_path / "here.zarr"}))
    given = told | {"cube": tmp_path / "there.zarr", "scheduler": cluster.scheduler_address, "parallel": 3}
    built = run_build(load_settings(BuildSettings, given=given))
    assert built.collected.outcomes["added"] == 8
    here, there = (files(tmp_path / cube / "sar") for cube in ("here.zarr", "there.zarr"))
    assert here == there


def slow_offer(number: int, pause: float) -> Offer:
    """An image of 1100 x 1050 pixels that takes its time; its reader can travel, as it is made here."""

    def read(grid: GeoBox) -> Images:
        time.sleep(pause)
        row, column = (round(edge) for edge in reversed(~grid.affine @ (500_000, 5_000_000)))
        y, x = np.mgrid[-row : grid.shape[0] - row, -column : grid.shape[1] - column]
        return Images(((y * 2000 + x + number + 1) / 1e7).astype(np.float32)[None])

    return Offer(
        key=f"slow/{number}", source="slow", product="sar", group="sar", bands=("VV",), read=read,
        time=np.datetime64("2020-01-01", "ns") + np.timedelta64(6 * number, "D"), flight=Flight("S1A"),
    )  # fmt: skip


def test_reading_with_a_worker_killed(client: Any, executor: Any, tmp_path: Path) -> None:
    grid = GeoBox((1100, 1050), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    for name in ("here.zarr", "there.zarr"):
        create_cube(tmp_path / name, grid)
    here, there = (Manifest(tmp_path / name) for name in ("here.zarr", "there.zarr"))
    collect(here.path, [slow_offer(number, 0) for number in range(5)], [], here)
    with killing(client, "fetching") as progress, progress("fetching", 5) as advance:
        collect(
            there.path, [slow_offer(number, 0.2) for number in range(5)], [], there, executor=executor,
            limits=Limits(parallel=3), tell=lambda done, total, what: advance(done),
        )  # fmt: skip
    assert there.counts() == {"added": 5}
    assert files(here.path / "sar") == files(there.path / "sar")
