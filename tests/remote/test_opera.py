"""OPERA's bursts: searched, joined to passes, read from the archive."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from asf_server import COOKIE, SECRET, SIGNATURE, TOKEN, USER, Granule, Hosts, serving
from odc.geo.geobox import GeoBox
from opera_samples import GRID, PLACES, outline, real, synthetic, write

from terradelta.errors import AccessError, SourceError, UnavailableError
from terradelta.sources.area import Area
from terradelta.sources.folder import scan
from terradelta.sources.remote.offers import Offer, Period, Query
from terradelta.sources.remote.opera import Login, OperaSource
from terradelta.sources.remote.opera import session as sessions
from terradelta.sources.remote.retrying import Patience

HASTY = Patience(attempts=3, first_wait=0.001, longest_wait=0.01)
YEARS = Period(np.datetime64("2020-01-01", "ns"), np.datetime64("2026-01-01", "ns"))


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    sessions._session.cache_clear()
    with serving(Hosts()) as running:
        yield running
        assert not running.leaks


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def reader(nobody: None, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} password {SECRET}\n")


def source_at(hosts: Hosts, **options: object) -> OperaSource:
    login = Login(hosts.addresses["login"], trusted=("127.0.0.1",))
    return OperaSource(address=hosts.addresses["catalogue"], login=login, patience=HASTY, **options)  # type: ignore[arg-type]


def query_for(grid: GeoBox = GRID, **options: object) -> Query:
    return Query(**({"area": Area(outline(grid)), "grid": grid, "period": YEARS} | options))  # type: ignore[arg-type]


def only(source: OperaSource, query: Query) -> Offer:
    (offer,) = source.search(query).offers
    return offer


def pixels(offer: Offer, grid: GeoBox) -> np.ndarray:
    return np.asarray(offer.load(grid).backscatter)


# search


def test_pass_of_three_bursts_is_one_offer(hosts: Hosts) -> None:
    hosts.granules = synthetic("20211201T015900")
    offer = only(source_at(hosts), query_for())
    assert offer.key == "opera/RTC-S1/S1A/137/20211201T015900"
    assert str(offer.time)[:19] == "2021-12-01T01:59:00"
    assert (offer.flight.platform, offer.flight.relative_orbit) == ("S1A", 137)
    assert offer.flight.orbit_direction == "ascending"
    assert np.isnan([offer.flight.incidence_angle, offer.flight.heading]).all()
    assert offer.radiometry == "gamma0-rtc"
    assert offer.source_id == f"{hosts.granules[0].name} +2"
    assert offer.facts["bursts"] == " ".join(place for place, _, _ in PLACES)
    whole = sum(len(data) for one in hosts.granules for data in one.files.values())
    assert 0.9 * whole < offer.nbytes <= whole
    assert offer.load(GRID).radiometry == "gamma0-rtc"


def test_catalogue_is_asked_for_what_is_wanted(hosts: Hosts) -> None:
    query = query_for(orbits=(137, 64), direction="descending")
    assert source_at(hosts).search(query).offers == ()
    asked = [set(question) for question in hosts.questions]
    common = {
        ("shortName", "OPERA_L2_RTC-S1_V1"),
        ("attribute[]", "string,ASCENDING_DESCENDING,DESCENDING"),
        ("attribute[]", "string,POLARIZATION,VV"),
    }
    assert all(common <= question for question in asked)
    orbits = {value for question in asked for name, value in question if "PATH_NUMBER" in value}
    assert orbits == {"int,PATH_NUMBER,137", "int,PATH_NUMBER,64"}
    assert ("temporal", "2019-12-31T23:59:00Z,2026-01-01T00:01:00Z,") in asked[0]


def test_pages_are_joined(hosts: Hosts) -> None:
    hosts.granules = [one for day in range(1, 8) for one in synthetic(f"2021120{day}T015900")]
    hosts.page = 4
    offers = source_at(hosts).search(query_for()).offers
    assert hosts.hits["catalogue"] == 6
    assert [str(offer.time)[:10] for offer in offers] == [f"2021-12-0{day}" for day in range(1, 8)]
    assert all(len(offer.read.bursts) == 3 for offer in offers)  # type: ignore[attr-defined]


def test_busy_catalogue_is_asked_again(hosts: Hosts) -> None:
    hosts.granules = synthetic("20211201T015900")
    hosts.catalogue_faults = [429, 503]
    assert len(source_at(hosts).search(query_for()).offers) == 1
    assert hosts.hits["catalogue"] == 3


@pytest.mark.parametrize("fault", [500, 429, "truncate"])
def test_catalogue_that_stays_busy(hosts: Hosts, fault: int | str) -> None:
    hosts.granules = synthetic("20211201T015900")
    hosts.catalogue_faults = [fault] * 9
    with pytest.raises(UnavailableError, match="try again later"):
        source_at(hosts).search(query_for())
    assert hosts.hits["catalogue"] == HASTY.attempts


def test_answer_that_breaks_off_is_no_answer(hosts: Hosts) -> None:
    hosts.granules = [one for day in range(1, 8) for one in synthetic(f"2021120{day}T015900")]
    hosts.page, hosts.catalogue_faults = 4, ["break off"]
    with pytest.raises(UnavailableError, match="only a part"):
        source_at(hosts).search(query_for())


def test_catalogue_that_refuses(hosts: Hosts) -> None:
    hosts.catalogue_faults = [400]
    with pytest.raises(SourceError, match="refuses the search") as caught:
        source_at(hosts).search(query_for())
    assert not isinstance(caught.value, UnavailableError)


def test_unknown_product() -> None:
    with pytest.raises(SourceError, match="no product 'CSLC'; it has RTC-S1"):
        OperaSource().search(query_for(products=("CSLC",)))


def test_pass_that_lacks_a_band_is_noted(hosts: Hosts) -> None:
    hosts.granules = synthetic("20211201T015900") + synthetic("20211213T015900", PLACES[:2])
    hosts.granules += synthetic("20211213T015900", PLACES[2:], bands=("VV",))
    findings = source_at(hosts).search(query_for())
    assert [str(offer.time)[:10] for offer in findings.offers] == ["2021-12-01"]
    assert findings.notes == (
        "opera: 1 of 2 passes left out, VH is missing in a burst (first: track 137, 2021-12-13T01:59:00)",
    )
    assert len(source_at(hosts).search(query_for(polarisations=("VV",))).offers) == 2


def test_newest_processing_wins(hosts: Hosts, reader: None) -> None:
    old = synthetic("20211201T015900", seed=1, processed="20230101T000000Z")
    new = synthetic("20211201T015900", PLACES[:2], seed=2)
    hosts.granules = old + new
    offer = only(source_at(hosts), query_for())
    assert offer.facts["older processing"] == "2 left out"
    assert offer.source_id == f"{new[0].name} +2"
    hosts.granules = [*new, old[2]]
    assert np.array_equal(pixels(offer, GRID), pixels(only(source_at(hosts), query_for()), GRID), True)


def test_passes_are_told_apart(hosts: Hosts) -> None:
    hosts.granules = synthetic("20211201T015900") + synthetic("20211201T015930", platform="S1B")
    hosts.granules += synthetic("20211201T020010")
    offers = source_at(hosts).search(query_for()).offers
    assert [(str(one.time)[11:19], one.flight.platform) for one in offers] == [
        ("01:59:00", "S1A"), ("01:59:30", "S1B"), ("02:00:10", "S1A"),
    ]  # fmt: skip


def test_period_counts_the_start_of_the_pass(hosts: Hosts) -> None:
    hosts.granules = synthetic("20211201T235958")
    for first, last, count in [("2021-12-01", "2021-12-02", 1), ("2021-12-02", "2021-12-03", 0)]:
        period = Period(np.datetime64(first, "ns"), np.datetime64(last, "ns"))
        offers = source_at(hosts).search(query_for(period=period)).offers
        assert len(offers) == count
        assert all(len(offer.read.bursts) == 3 for offer in offers)  # type: ignore[attr-defined]


# pixels


def imported(granules: list[Granule], grid: GeoBox, folder: Path) -> np.ndarray:
    """What the import of the same files from a folder gives."""
    (planned,) = scan(write(granules, folder), geobox=grid).sar
    return np.asarray(planned.load(grid).backscatter)


OFF_GRID = GeoBox((140, 150), Affine(20, 0, 242_403, 0, -20, 3_834_017), "EPSG:32611")
OTHER_ZONE = GeoBox((90, 90), Affine(30, 0, 792_000, 0, -30, 3_838_000), "EPSG:32610")


@pytest.mark.parametrize("grid", [GRID, GRID[7:60, 30:99], OFF_GRID, OTHER_ZONE])
def test_pass_equals_import_of_the_same_files(
    hosts: Hosts, reader: None, tmp_path: Path, grid: GeoBox
) -> None:
    hosts.granules = synthetic("20211201T015900")
    got = pixels(only(source_at(hosts), query_for(grid)), grid)
    assert np.isfinite(got).mean() > 0.2
    assert np.array_equal(got, imported(hosts.granules, grid, tmp_path / "files"), equal_nan=True)


def test_first_burst_with_data_wins(hosts: Hosts, reader: None) -> None:
    hosts.granules = synthetic("20211201T015900")
    got = pixels(only(source_at(hosts), query_for()), GRID)
    alone = []
    for granule, (_, _, grid) in zip(hosts.granules, PLACES, strict=True):
        hosts.granules = [granule]
        alone.append(pixels(only(source_at(hosts), query_for(grid)), GRID))
    truth = np.where(np.isfinite(alone[0]), alone[0], np.where(np.isfinite(alone[1]), alone[1], alone[2]))
    assert np.array_equal(got, truth, equal_nan=True)


def test_real_bursts_equal_import_of_the_same_files(
    hosts: Hosts, reader: None, tmp_path: Path, shared: Path
) -> None:
    hosts.granules = real(shared, ("T137-292320-IW2", "T137-292321-IW2", "T137-292323-IW2"), "2021-12-01")
    grid = GeoBox((1950, 390), Affine(30, 0, 233_520, 0, -30, 3_890_580), "EPSG:32611")
    (planned,) = scan(write(hosts.granules, tmp_path / "files"), geobox=grid).sar
    offer = only(source_at(hosts), query_for(grid))
    assert (offer.time, offer.source_id, offer.flight.identity) == (
        planned.time, planned.source_id, planned.flight.identity,
    )  # fmt: skip
    got = pixels(offer, grid)
    assert np.isfinite(got).sum() == pytest.approx(2 * 3 * 100 * 100, rel=0.001)
    assert np.array_equal(got, np.asarray(planned.load(grid).backscatter), equal_nan=True)


def test_original_files_equal_import(hosts: Hosts, reader: None, tmp_path: Path, shared: Path) -> None:
    folder = shared / "data" / "opera_rtc_s1_t137" / "original_naming_sample"
    plan = scan(folder)
    names = sorted({path.name[:-7] for path in folder.glob("*.tif")})
    hosts.granules = [
        Granule(name, {band: (folder / f"{name}_{band}.tif").read_bytes() for band in ("VV", "VH")},
                outline(plan.geobox))
        for name in names
    ]  # fmt: skip
    offers = source_at(hosts).search(query_for(plan.geobox)).offers
    assert [offer.time for offer in offers] == [planned.time for planned in plan.sar]
    for offer, planned in zip(offers, plan.sar, strict=True):
        assert np.array_equal(
            pixels(offer, plan.geobox), np.asarray(planned.load(plan.geobox).backscatter), equal_nan=True
        )


def test_only_bursts_that_meet_the_block_are_opened(hosts: Hosts, reader: None) -> None:
    hosts.granules = synthetic("20211201T015900")
    far = GeoBox((40, 40), Affine(30, 0, GRID.affine.c + 60_000, 0, -30, GRID.affine.f), "EPSG:32611")
    hosts.granules += synthetic("20211201T015900", [("T137-292320-IW1", 2, far)])
    wide = GeoBox((90, 2100), GRID.affine, "EPSG:32611")
    offer = only(source_at(hosts), query_for(wide))
    offer.read(far)
    assert hosts.hits["store"] > 0
    assert np.isfinite(offer.read(far).values).any()
    before = hosts.hits["archive"]
    assert np.isnan(offer.read(GRID.translate_pix(0, 900)).values).all()
    assert hosts.hits["archive"] == before


def test_ranges_are_read_not_files(hosts: Hosts, reader: None) -> None:
    large = GeoBox((900, 900), GRID.affine, "EPSG:32611")
    hosts.granules = synthetic("20211201T015900", [("T137-292320-IW2", 0, large)])
    offer = only(source_at(hosts), query_for(large))
    offer.read(large[400:440, 400:440])
    whole = sum(len(data) for data in hosts.granules[0].files.values())
    assert 0 < hosts.sent["ranges"] < 0.1 * whole


def test_reader_travels_and_threads_agree(hosts: Hosts, reader: None) -> None:
    hosts.granules = synthetic("20211201T015900")
    offer = only(source_at(hosts), query_for())
    packed = pickle.dumps(offer.read)
    assert SECRET.encode() not in packed
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: pickle.loads(packed)(GRID).values, range(8)))
    truth = offer.read(GRID).values
    assert all(np.array_equal(one, truth, equal_nan=True) for one in results)


# login


@pytest.mark.parametrize("way", ["netrc", "name", "token"])
def test_ways_to_log_in(hosts: Hosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str) -> None:
    hosts.granules = synthetic("20211201T015900")
    if way == "netrc":
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1\n  login {USER}\n  password {SECRET}\n")
    elif way == "name":
        monkeypatch.setenv("EARTHDATA_USERNAME", USER)
        monkeypatch.setenv("EARTHDATA_PASSWORD", SECRET)
    else:
        monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    assert np.isfinite(only(source_at(hosts), query_for()).read(GRID).values).any()
    assert hosts.hits["login"] == (0 if way == "token" else 1)


def test_missing_credentials_say_what_to_set(hosts: Hosts) -> None:
    hosts.granules = synthetic("20211201T015900")
    offer = only(source_at(hosts), query_for())
    with pytest.raises(AccessError) as caught:
        offer.read(GRID)
    assert str(caught.value) == (
        f"{hosts.granules[0].name}_VV.tif: a login is needed; set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and "
        "EARTHDATA_PASSWORD, or write 'machine 127.0.0.1 login NAME password SECRET' into .netrc"
    )
    assert hosts.hits["login"] == 1


@pytest.mark.parametrize("way", ["netrc", "name", "token"])
def test_wrong_credentials_are_refused_once(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    hosts.granules = synthetic("20211201T015900")
    if way == "netrc":
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} password wr0ng-word\n")
    elif way == "name":
        monkeypatch.setenv("EARTHDATA_USERNAME", USER)
        monkeypatch.setenv("EARTHDATA_PASSWORD", "wr0ng-word")
    else:
        monkeypatch.setenv("EARTHDATA_TOKEN", "wr0ng-word")
    offer = only(source_at(hosts), query_for())
    with pytest.raises(AccessError, match="is refused \\(401\\)") as caught:
        offer.read(GRID)
    assert "wr0ng" not in str(caught.value)
    assert hosts.hits["archive"] == 1


def test_half_of_the_credentials(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.granules = synthetic("20211201T015900")
    monkeypatch.setenv("EARTHDATA_USERNAME", USER)
    with pytest.raises(AccessError, match="EARTHDATA_PASSWORD is not set"):
        only(source_at(hosts), query_for()).read(GRID)


def test_broken_netrc(hosts: Hosts, tmp_path: Path) -> None:
    hosts.granules = synthetic("20211201T015900")
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} pass {SECRET}\n")
    with pytest.raises(AccessError, match="cannot be read as") as caught:
        only(source_at(hosts), query_for()).read(GRID)
    assert SECRET not in str(caught.value)


def test_nothing_is_written(hosts: Hosts, reader: None, tmp_path: Path) -> None:
    from terradelta.sources.remote.opening import _cookies

    cookies = Path(_cookies()["GDAL_HTTP_COOKIEJAR"])
    before = cookies.read_bytes() if cookies.exists() else None
    hosts.granules = synthetic("20211201T015900")
    only(source_at(hosts), query_for()).read(GRID)
    assert [path.name for path in tmp_path.iterdir()] == ["netrc"]
    assert (cookies.read_bytes() if cookies.exists() else None) == before


def test_secrets_are_not_shown(hosts: Hosts, reader: None) -> None:
    from terradelta.sources.remote.opera.credentials import find_credentials

    source = source_at(hosts)
    own = find_credentials(source.login)
    assert own.password == SECRET
    assert SECRET not in repr(own) + repr(source)


# faults of the archive


@pytest.mark.parametrize("fault", ["truncate", "short", 500, 429, 503])
def test_half_a_file_is_no_image(
    hosts: Hosts,
    reader: None,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    fault: int | str,
) -> None:
    hosts.granules = synthetic("20211201T015900")
    name = f"{hosts.granules[1].name}_VH.tif"
    hosts.store_faults[name] = [fault] * 400
    caplog.set_level("DEBUG")
    with pytest.raises(UnavailableError) as caught:
        only(source_at(hosts), query_for()).read(GRID)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    told = [str(caught.value), *(record.getMessage() for record in caplog.records), *capfd.readouterr()]
    assert not [text for text in told if any(word in text for word in (SIGNATURE, COOKIE, SECRET))]


@pytest.mark.parametrize("fault", ["truncate", 500])
def test_fault_that_passes(hosts: Hosts, reader: None, tmp_path: Path, fault: int | str) -> None:
    hosts.granules = synthetic("20211201T015900")
    hosts.store_faults[f"{hosts.granules[1].name}_VH.tif"] = [fault]
    got = only(source_at(hosts), query_for()).read(GRID).values
    assert np.array_equal(got, imported(hosts.granules, GRID, tmp_path / "files"), equal_nan=True)


def test_file_that_was_taken_back(hosts: Hosts, reader: None) -> None:
    hosts.granules = synthetic("20211201T015900")
    offer = only(source_at(hosts), query_for())
    hosts.granules = hosts.granules[1:]
    with pytest.raises(SourceError, match="answers 404") as caught:
        offer.read(GRID)
    assert not isinstance(caught.value, UnavailableError)
