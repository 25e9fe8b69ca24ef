"""Cubes in PostGIS and back, to the last bit; what goes wrong, said in one line; lost connections."""

from __future__ import annotations

import logging
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

sys.path.insert(0, str(Path(__file__).parent))

from server import PASSWORD, READER, READER_PASSWORD, Server

from terradelta.cube import (
    OpticalAcquisition,
    SarAcquisition,
    append_all,
    check_cube,
    create_cube,
    open_cube,
    write_static,
    write_weather,
)
from terradelta.cube.files import read_json, write_json
from terradelta.cube.layers import write_layer
from terradelta.errors import ConflictError, InputError, SourceError, TerradeltaError
from terradelta.sources.postgis import (
    Database,
    check_database,
    create_schema,
    export_cube,
    load_cube,
    loading,
    schema,
    tiles,
)
from terradelta.sources.postgis.address import read_address
from terradelta.sources.postgis.rasters import from_wkb, pack, to_wkb, unpack
from terradelta.sources.postgis.schema import VERSION

WRONG = "gue" + "ss"
SIZE = (270, 300)
GRID = GeoBox(SIZE, Affine(10, 0, 500_000, 0, -10, 6_700_000), "EPSG:3067")
LAYERS = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
          "float16", "float32", "float64")  # fmt: skip


def make_cube(
    path: Path, grid: GeoBox = GRID, *, name: str = "hills", layers: tuple[str, ...] = ("int16", "float32")
) -> Path:
    """A cube with everything that one can hold, at random, with gaps."""
    rng = np.random.default_rng(7)
    y, x = grid.shape
    create_cube(path, grid, name=name)
    for dtype in layers:
        values = rng.integers(0, 2 if dtype == "bool" else 100, (y, x)).astype(dtype)
        if dtype in ("int64", "uint64"):
            values += np.array(2**61 + 1, dtype)
        if dtype.startswith("float"):
            values[3:9, 4:200] = np.nan
        write_static(path, f"layer_{dtype}", values, units="m", description="noise")
    write_layer(
        path, "truth", "date", rng.integers(0, 9, (y, x)).astype("int32"), {"units": "days", "keys": [1, 2]}
    )
    write_weather(path, weather(rng))
    append_all(path, (radar(rng, grid, date) for date in range(3)))
    append_all(path, (optical(rng, grid, date) for date in range(2)))
    return path


def weather(rng: np.random.Generator, days: int = 5) -> xr.Dataset:
    time = np.datetime64("2019-12-30", "ns") + np.arange(days) * np.timedelta64(1, "D")
    coarse = rng.gamma(1.0, 3.0, (days, 2, 3)).astype("f4")
    coarse[1, 0, 0] = np.nan
    return xr.Dataset(
        {"temperature": ("day", rng.normal(3, 9, days)), "precipitation": (("day", "y", "x"), coarse)},
        {"day": time, "y": [6_700_000 / 3, 6_690_000.1], "x": [1.0, 2.5, 4.000000001]},
        {"source": "nowhere"},
    )


def radar(rng: np.random.Generator, grid: GeoBox, date: int) -> SarAcquisition:
    values = rng.gamma(4.0, 0.02, (2, *grid.shape)).astype("f4")
    values[:, : grid.shape[0] // 7 * date, :100] = np.nan
    values[0, 5, 7] = 0.0
    return SarAcquisition(
        time=np.datetime64("2020-01-01T04:50:00.123456789") + np.timedelta64(date // 2 * 6, "D"),
        bands=("VV", "VH"), backscatter=values, orbit_direction=("ascending", "")[date % 2],
        relative_orbit=80 + date % 2, platform="S1A", incidence_angle=float(np.float32(38.7 + date / 3)),
        heading=np.nan if date == 1 else -166.1, source_id=f"S1A 'quoted' {date}",
        radiometry=("gamma0-rtc", "")[date % 2], estimated=("", "incidence_angle")[date % 2],
    )  # fmt: skip


def optical(rng: np.random.Generator, grid: GeoBox, date: int) -> OpticalAcquisition:
    values = rng.random((3, *grid.shape)).astype("f4")
    values[:, 7:19] = np.nan
    return OpticalAcquisition(
        time=f"2020-02-0{date + 1}", bands=("B02", "B04", "B08"), reflectance=values,
        clear=rng.random(grid.shape) < 0.7, platform="S2B", offset_applied=bool(date),
    )  # fmt: skip


def assert_bit_equal(a: Path, b: Path) -> None:
    """Values to the last bit, names, types, attributes and digests."""
    one, other = open_cube(a), open_cube(b)
    assert one.attrs == other.attrs and set(one.children) == set(other.children)
    for group in one.children:
        left, right = (tree[group].to_dataset().load() for tree in (one, other))
        assert set(left.variables) == set(right.variables), group
        assert left.attrs == right.attrs
        for name in left.variables:
            x, y = left[name], right[name]
            assert x.dims == y.dims and x.dtype == y.dtype and x.attrs == y.attrs, (group, name)
            if x.dtype == object:
                assert x.values.tolist() == y.values.tolist(), (group, name)
            else:
                assert x.values.tobytes() == y.values.tobytes(), (group, name)
    assert check_cube(b) == []


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cube(tmp_path_factory.mktemp("cube") / "a.zarr")


def kill_others(server: Server, name: str) -> int:
    """End the connections of the library, as an administrator or a fault would."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        return len(
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND application_name = 'terradelta'",
                [name],
            ).fetchall()
        )


class Breaking:
    """Does something at the n-th call of a function, which then goes on as ever."""

    def __init__(self, function: Callable[..., Any], at: set[int], act: Callable[[], object]) -> None:
        self._function, self._at, self._act = function, at, act
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls in self._at:
            self._act()
        return self._function(*arguments)


# --- there and back ---------------------------------------------------------------------------------------


def test_a_cube_comes_back_to_the_last_bit(url: str, reader_url: str, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    cube = make_cube(tmp_path / "a.zarr", layers=LAYERS)
    with Database(url, write=True) as database:
        report = load_cube(database, cube, progress=lambda done, total, _: told.append((done, total)))
        assert (report.place, report.added, report.skipped) == ("hills", 5, 0)
        assert len(report.layers) == len(LAYERS) + 1 and report.weather == 10
        again = load_cube(database, cube)
        assert (again.added, again.skipped, again.layers, again.weather) == (0, 5, (), 0)
    assert told == [(n, 5) for n in range(1, 6)]
    with Database(reader_url) as database:
        export_cube(database, tmp_path / "b.zarr")
        assert_bit_equal(cube, tmp_path / "b.zarr")
        export_cube(database, tmp_path / "b.zarr", place="hills")
        lines = "\n".join(check_database(database))
    assert_bit_equal(cube, tmp_path / "b.zarr")
    assert "place hills in EPSG:3067: 3 radar and 2 optical images" in lines
    assert "role reader may only read" in lines and "DISABLE_ALL (terradelta needs none)" in lines


@pytest.mark.parametrize(
    "grid",
    [
        GeoBox((20, 30), Affine(8, 3, 1e6 / 3, 2, -9, 5e6 / 7), "EPSG:32631"),
        GeoBox((20, 30), Affine(1 / 3600, 0, 7.1, 0, 1 / 3600, 50.3), "EPSG:4326"),
        GeoBox((20, 30), Affine(10, 0, 0, 0, -10, 0), "+proj=laea +lat_0=51.5 +lon_0=9.25 +datum=WGS84"),
    ],
)  # fmt: skip
def test_any_grid_comes_back(url: str, tmp_path: Path, grid: GeoBox) -> None:
    cube = make_cube(tmp_path / "a.zarr", grid, name="")
    with Database(url, write=True) as database:
        assert load_cube(database, cube, place="one").place == "one"
        assert load_cube(database, cube).place == "a"
        with pytest.raises(InputError, match="has 2 places; name one of one, a"):
            export_cube(database, tmp_path / "b.zarr")
        with pytest.raises(InputError, match="no place 'two'; known are one, a"):
            export_cube(database, tmp_path / "b.zarr", place="two")
        export_cube(database, tmp_path / "b.zarr", place="one")
    assert_bit_equal(cube, tmp_path / "b.zarr")


def test_a_cube_that_has_grown_is_loaded_further(url: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grid = GeoBox((20, 30), Affine(10, 0, 0, 0, -10, 0), "EPSG:3067")
    create_cube(tmp_path / "a.zarr", grid, name="a")
    images = [radar(rng, grid, date) for date in range(3)]
    days = weather(rng)
    with Database(url, write=True) as database:
        for some in (slice(0, 2), slice(2, 5)):
            write_weather(tmp_path / "a.zarr", days.isel(day=some))
            append_all(tmp_path / "a.zarr", images[some.start : some.start + 1])
            report = load_cube(database, tmp_path / "a.zarr")
            assert report.added == 1 and report.weather == 2 * (some.stop - some.start)
        export_cube(database, tmp_path / "b.zarr")
    assert_bit_equal(tmp_path / "a.zarr", tmp_path / "b.zarr")


def test_tiles_are_rasters_to_others_too(url: str, cube: Path) -> None:
    """Statements of the database itself see the place, the values and the gaps."""
    with Database(url, write=True) as database:
        load_cube(database, cube)
    with psycopg.connect(url) as connection:
        one = connection.execute(
            "SELECT count(*), sum(ST_Width(rast) * ST_Height(rast)), min(ST_SRID(rast)), "
            "min(ST_NumBands(rast)) FROM terradelta.radar JOIN terradelta.acquisitions USING (acquisition) "
            "WHERE time < '2020-01-02' AND relative_orbit = 80"
        ).fetchone()
        assert one == (4, SIZE[0] * SIZE[1], 3067, 2)
        x, y = GRID.affine @ (280.5, 260.5)
        value = connection.execute(
            "SELECT ST_Value(rast, 2, ST_SetSRID(ST_MakePoint(%s, %s), 3067)) FROM terradelta.radar "
            "WHERE acquisition = 1 AND ST_ConvexHull(rast) && ST_SetSRID(ST_MakePoint(%s, %s), 3067)",
            [x, y, x, y],
        ).fetchall()
    assert [np.float32(row[0]) for row in value] == [
        open_cube(cube)["sar"].backscatter.values[0, 1, 260, 280]
    ]


@pytest.mark.parametrize("dtype", LAYERS)
def test_tiles_as_bytes(dtype: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (2, 5, 7 * np.dtype(dtype).itemsize), np.uint8)
    values = (values % 2).astype(bool) if dtype == "bool" else values.view(dtype)
    affine = Affine(10, 1, 2, 3, -10, 6)
    tile = from_wkb(to_wkb(pack(values), affine, 0))
    assert unpack(tile.values, np.dtype(dtype)).tobytes() == values.tobytes()
    assert tile.affine == affine


def test_no_such_type() -> None:
    with pytest.raises(InputError, match="complex64 cannot be kept"):
        pack(np.zeros((1, 2, 2), "c8"))


# --- other data under the same name -----------------------------------------------------------------------


def test_other_data_are_refused(url: str, tmp_path: Path) -> None:
    grid = GeoBox((20, 30), Affine(10, 0, 0, 0, -10, 0), "EPSG:3067")
    rng = np.random.default_rng(0)

    def cube(name: str, grid: GeoBox = grid, more: float = 0.0) -> Path:
        path = tmp_path / name
        create_cube(path, grid, name="a")
        write_static(path, "dem", np.full(grid.shape, more if "dem" in name else 0.0))
        days = weather(np.random.default_rng(2))
        write_weather(path, days + more if "weather" in name else days)
        image = radar(np.random.default_rng(3), grid, 0)
        if "radar" in name:
            image.backscatter[0, 0, 0] += more
        append_all(path, [image])
        return path

    assert rng is not None
    with Database(url, write=True) as database:
        load_cube(database, cube("first"))
        for name, text in [("dem", "layer static/dem"), ("weather", "weather "), ("radar", "other pixels")]:
            with pytest.raises(ConflictError, match=text):
                load_cube(database, cube(name, more=1.0))
        with pytest.raises(ConflictError, match="has the grid 20 x 30 pixels of 10"):
            load_cube(database, cube("grid", GeoBox((20, 31), grid.affine, grid.crs)))
        assert load_cube(database, tmp_path / "first").skipped == 1


# --- lost connections -------------------------------------------------------------------------------------


def test_a_connection_lost_half_way_is_made_anew(
    server: Server, name: str, url: str, cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    breaking = Breaking(tiles.to_wkb, {14, 21, 30}, lambda: kill_others(server, name))
    monkeypatch.setattr(tiles, "to_wkb", breaking)
    with Database(url, write=True, pause=0.01) as database:
        report = load_cube(database, cube)
        assert (report.added, report.skipped) == (5, 0)
        told = [one.getMessage() for one in caplog.records if one.name.startswith("terradelta")]
        assert sum("is lost" in line for line in told) == 3
        monkeypatch.setattr(tiles, "to_wkb", to_wkb)
        reading = Breaking(tiles.from_wkb, {3, 20}, lambda: kill_others(server, name))
        monkeypatch.setattr(tiles, "from_wkb", reading)
        export_cube(database, tmp_path / "b.zarr")
    assert reading.calls > 20
    assert_bit_equal(cube, tmp_path / "b.zarr")
    assert PASSWORD not in caplog.text


def test_what_was_cut_short_goes_on(
    server: Server, name: str, url: str, cube: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second image is half written when all attempts are used up; the next run adds the rest only."""
    monkeypatch.setattr(
        tiles, "to_wkb", Breaking(tiles.to_wkb, set(range(18, 999)), lambda: kill_others(server, name))
    )
    with Database(url, write=True, attempts=2, pause=0.01) as database:
        with pytest.raises(SourceError, match=r"was lost 2 times.*the same command goes on where it stopped"):
            load_cube(database, cube)
        monkeypatch.setattr(tiles, "to_wkb", to_wkb)
        report = load_cube(database, cube)
        assert report.added + report.skipped == 5 and 0 < report.skipped < 5 and report.layers == ()
        monkeypatch.setattr(
            tiles, "from_wkb", Breaking(from_wkb, set(range(18, 999)), lambda: kill_others(server, name))
        )
        with pytest.raises(SourceError, match="was lost 2 times"):
            export_cube(database, tmp_path / "b.zarr")
        monkeypatch.setattr(tiles, "from_wkb", from_wkb)
        export_cube(database, tmp_path / "b.zarr")
    assert_bit_equal(cube, tmp_path / "b.zarr")


def test_a_server_that_comes_back_is_waited_for(
    url: str, server: Server, cube: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        server.halt()
        threading.Thread(target=lambda: (time.sleep(0.7), server.start())).start()

    monkeypatch.setattr(tiles, "to_wkb", Breaking(tiles.to_wkb, {20}, away))
    with Database(url, write=True, pause=0.3) as database:
        assert load_cube(database, cube).added == 5


def test_somebody_else_loads_the_same(url: str, cube: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database(url, write=True) as database, Database(url, write=True) as other:
        known = loading.stored_digests

        def late(*arguments: Any) -> Any:
            found = known(*arguments)
            monkeypatch.setattr(loading, "stored_digests", known)
            load_cube(other, cube)
            return found

        monkeypatch.setattr(loading, "stored_digests", late)
        report = load_cube(database, cube)
    assert (report.added, report.skipped) == (0, 5)


# --- what goes wrong --------------------------------------------------------------------------------------


def refused(work: Callable[[], object], caplog: pytest.LogCaptureFixture) -> str:
    """The one line of an error, after a look for passwords in all that is shown."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TerradeltaError) as caught:
        work()
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    for secret in (PASSWORD, READER_PASSWORD, WRONG, "p%40ss"):
        assert secret not in shown
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    return str(caught.value)


def test_database_down(caplog: pytest.LogCaptureFixture) -> None:
    line = refused(lambda: check_database(Database(f"postgresql://ana:{WRONG}@127.0.0.1:1/land")), caplog)
    assert line.startswith("the database land on 127.0.0.1:1 as ana does not answer (")
    assert line.endswith("start the server, or correct the address")


def test_wrong_password(server: Server, name: str, caplog: pytest.LogCaptureFixture) -> None:
    line = refused(lambda: check_database(Database(server.url(name, password=WRONG))), caplog)
    assert line == (
        f"the database {name} on 127.0.0.1:{server.port} as maker refuses user or password; "
        "check the password in TERRADELTA_DATABASE, PGPASSWORD or ~/.pgpass"
    )
    line = refused(lambda: check_database(Database(f"host=127.0.0.1 port={server.port} user=maker")), caplog)
    assert "refuses user or password" in line


def test_no_such_database(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    line = refused(lambda: check_database(Database(server.url("nowhere"))), caplog)
    assert "does not exist; make it with `createdb nowhere`, then `terradelta database create`" in line


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://ana:{}@host:port:7/x",
        "password={} host",
        "{}",
        "postgresql://ana:{}/@host/land",
        "postgresql://ana:@{}/@host/land",
        "postgresql://[::1/{}",
    ],
)
def test_no_address(given: str, caplog: pytest.LogCaptureFixture) -> None:
    assert "postgresql://USER@HOST:PORT/NAME" in refused(lambda: Database(given.format(WRONG)), caplog)


@pytest.fixture
def plain(server: Server) -> Iterator[str]:
    """A database without extensions and tables."""
    name = server.make()
    yield name
    server.drop(name)


def test_missing_extensions_and_tables(
    server: Server, plain: str, cube: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(server.url(plain), write=True)
    line = refused(lambda: load_cube(database, cube), caplog)
    assert line.endswith(
        "lacks the extension postgis, extension postgis_raster; make it with `terradelta database create`"
    )
    reader = Database(server.url(plain, READER, READER_PASSWORD), write=True)
    line = refused(lambda: create_schema(reader), caplog)
    assert "an administrator runs there: CREATE EXTENSION postgis;" in line
    database.run(lambda connection: connection.execute("CREATE EXTENSION postgis"))
    line = refused(lambda: load_cube(database, cube), caplog)
    assert "lacks the extension postgis_raster; make" in line
    create_schema(database)
    create_schema(database)
    assert load_cube(database, cube).added == 5
    database.run(lambda connection: connection.execute("DROP TABLE terradelta.radar"))
    line = refused(lambda: load_cube(database, cube), caplog)
    assert "lacks the table terradelta.radar; make it with `terradelta database create`" in line
    create_schema(database)
    database.run(lambda connection: connection.execute("DROP SCHEMA terradelta CASCADE"))
    line = refused(lambda: export_cube(database, cube.parent / "never.zarr"), caplog)
    assert "lacks the table terradelta.about, table terradelta.places" in line and "more; make it" in line
    database.close()


def test_a_server_without_postgis(
    server: Server, plain: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(schema, "EXTENSIONS", ("postgis_of_the_moon",))
    line = refused(lambda: create_schema(Database(server.url(plain), write=True)), caplog)
    assert "does not have the extension postgis_of_the_moon; install PostGIS 3 there" in line


def test_newer_tables(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with Database(url, write=True) as database:
        database.run(lambda connection: connection.execute("INSERT INTO terradelta.about VALUES (99)"))
        for work in (check_database, create_schema):
            assert "tables of version 99" in refused(lambda work=work: work(database), caplog)


def test_rights(
    server: Server, url: str, reader_url: str, cube: Path, caplog: pytest.LogCaptureFixture
) -> None:
    line = refused(lambda: load_cube(Database(reader_url, write=True), cube), caplog)
    assert "permission denied for" in line and "terradelta database create --reader ROLE" in line
    line = refused(lambda: load_cube(Database(url), cube), caplog)
    assert "is read-only" in line
    with Database(url, write=True) as database:
        line = refused(lambda: create_schema(database, reader='no"body'), caplog)
        assert "no role 'no\"body'" in line and 'CREATE ROLE "no""body" LOGIN' in line
        database.run(lambda connection: connection.execute("REVOKE ALL ON SCHEMA terradelta FROM reader"))
        line = refused(lambda: check_database(Database(reader_url)), caplog)
        assert "permission denied for schema terradelta" in line


def test_schemas_of_any_name(server: Server, plain: str, cube: Path, tmp_path: Path) -> None:
    strange = 'x"; DROP TABLE places; --'
    with Database(server.url(plain), schema=strange, write=True) as database:
        create_schema(database)
        load_cube(database, cube, place="'; DROP TABLE places; --")
        export_cube(database, tmp_path / "b.zarr", place="'; DROP TABLE places; --")
    assert_bit_equal(cube, tmp_path / "b.zarr")


# --- addresses --------------------------------------------------------------------------------------------


def test_the_address_comes_from_the_environment(
    server: Server, name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERRADELTA_DATABASE", url)
    assert "role maker may read and write" in check_database(Database())[1]
    monkeypatch.delenv("TERRADELTA_DATABASE")
    for key, value in {"HOST": "127.0.0.1", "PORT": str(server.port), "USER": READER, "DATABASE": name,
                       "PASSWORD": READER_PASSWORD}.items():  # fmt: skip
        monkeypatch.setenv(f"PG{key}", value)
    database = Database()
    assert "role reader may only read" in check_database(database)[1]
    assert READER_PASSWORD not in repr(database) and f"{name} on 127.0.0.1" in repr(database)
    assert read_address().scrub(f"so {READER_PASSWORD} it is") == "so *** it is"


def test_passwords_are_not_shown(url: str) -> None:
    database = Database(url)
    again = pickle.loads(pickle.dumps(database))
    for text in (repr(database), str(database.address), repr(database.address), f"{again!r}"):
        assert PASSWORD not in text and "p%40ss" not in text and "maker" in text
    assert "***" in database.address.scrub(f"{PASSWORD} {url}")


# --- the commands -----------------------------------------------------------------------------------------


def test_commands(
    server: Server, plain: str, cube: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import geopandas as gpd
    import shapely
    import typer

    from terradelta.cli.app import app
    from terradelta.workflows.config import DatabaseCheckSettings

    command = typer.main.get_command(app)

    def run(*words: object) -> str:
        command.main(["database", *map(str, words)], standalone_mode=False)
        return capsys.readouterr().out

    monkeypatch.setenv("TERRADELTA_DATABASE", server.url(plain))
    assert f"tables of version {VERSION}" in run("create", "--reader", READER)
    assert "place there: 5 acquisitions added" in run("load", cube, "--place", "there")
    shapes = gpd.GeoDataFrame(
        {"kind": ["suo", "talo"]}, geometry=shapely.box([0, 5], 0, [1, 9], 1).tolist(), crs="EPSG:3067"
    )
    shapes.to_file(tmp_path / "land.gpkg")
    words = ("land", tmp_path / "land.gpkg", "--class-column", "kind", "--classes", "suo=mire,talo=urban")
    assert run(*words) == "dataset land: 2 polygons added\n"
    assert run(*words) == "dataset land: there already\n"
    assert run("export", tmp_path / "b.zarr").strip() == str(tmp_path / "b.zarr")
    monkeypatch.setenv("TERRADELTA_DATABASE", server.url(plain, READER, READER_PASSWORD))
    assert "land cover land in EPSG:3067: 1 mire, 1 urban" in run("check")
    assert_bit_equal(cube, tmp_path / "b.zarr")
    assert PASSWORD not in repr(DatabaseCheckSettings(database=server.url(plain)))


def with_changes(path: Path) -> Path:
    """A cube whose truth has a table of changes and attributes, as of simulated changes."""
    from terradelta.workflows.simulate.truth import write_table

    make_cube(path)
    group = path / "truth" / "zarr.json"
    write_json(group, {**(read_json(group) or {}), "attributes": {"simulated_change": {"kind": "offset"}}})
    dates = np.array(["2020-06-01T00:00:00.000000001", "NaT"], "datetime64[ns]")
    strength = np.array([[-2.5, 0.1], [np.nan, -np.inf]], np.float32)
    table = xr.Dataset(
        {
            "kind": ("change", np.array(["offset", "Ä ' \""], object)),
            "date": ("change", dates),
            "strength": (("change", "band"), strength, {"units": "dB"}),
        },
        coords={"change": [1, 2], "band": np.array(["VV", "VH"], object)},
    )
    write_table(path, table)
    return path


def test_table_of_changes_comes_back(url: str, tmp_path: Path) -> None:
    from terradelta.workflows.simulate.truth import read_table, write_table

    source, out = with_changes(tmp_path / "a.zarr"), tmp_path / "b.zarr"
    with Database(url, write=True) as database:
        assert "truth/changes" in load_cube(database, source).layers
        assert "truth/changes" not in load_cube(database, source).layers
        export_cube(database, out)
        export_cube(database, out)
    assert_bit_equal(source, out)
    table, back = read_table(source), read_table(out)
    assert table is not None and back is not None and back.identical(table)
    assert back["strength"].values.tobytes() == table["strength"].values.tobytes()
    write_table(source, table.isel(change=[0]))
    with Database(url, write=True) as database:
        with pytest.raises(ConflictError, match=r"other changes .*another place"):
            load_cube(database, source)
        with pytest.raises(ConflictError, match=r"other changes.*choose another path"):
            export_cube(database, source)


def test_older_tables_are_brought_up(server: Server, name: str, url: str, tmp_path: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE terradelta.places DROP COLUMN truth")
        connection.execute("ALTER TABLE terradelta.acquisitions DROP COLUMN radiometry")
        connection.execute("UPDATE terradelta.about SET version = 1")
    with Database(url, write=True) as database:
        with pytest.raises(SourceError, match=r"version 1, .* needs 3; .*terradelta database create"):
            check_database(database)
        create_schema(database)
        create_schema(database)
        assert "truth/changes" in load_cube(database, with_changes(tmp_path / "a.zarr")).layers


def test_export_into_another_cube_names_it(url: str, tmp_path: Path) -> None:
    source = make_cube(tmp_path / "a.zarr")
    with Database(url, write=True) as database:
        load_cube(database, source)
        values = np.zeros(SIZE, "int16")
        write_static(source, "layer_int16", values, overwrite=True)
        with pytest.raises(ConflictError, match=r"a.zarr is another cube .* choose another path"):
            export_cube(database, source)
    np.testing.assert_array_equal(open_cube(source)["static"]["layer_int16"], values)


def test_crs_that_is_none_is_named(url: str, tmp_path: Path) -> None:
    from terradelta.workflows.config.database import DatabaseLandSettings
    from terradelta.workflows.database import load_land

    with pytest.raises(InputError, match=r"crs is 'EPSG:99999', .* EPSG:3067"):
        load_land(DatabaseLandSettings(database=url, file=tmp_path / "a.gpkg", crs="EPSG:99999"))
