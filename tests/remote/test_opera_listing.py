"""Lists of bursts on the disk: read, and grouped into passes as on real revisits."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import geopandas
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from opera_samples import GRID, outline, synthetic
from shapely import box

from terradelta.errors import SourceError
from terradelta.sources.area import Area
from terradelta.sources.remote.offers import Period, Query
from terradelta.sources.remote.opera import OperaSource

ALWAYS = Period(np.datetime64("2014-01-01", "ns"), np.datetime64("2030-01-01", "ns"))
CHILE = ("chile_19HBD.parquet", "EPSG:32719", {"ascending": {18, 91}, "descending": {156}})
ANGELES = (
    "mgrs11SLT_11SLU_11SMT.parquet", "EPSG:32611",
    {"ascending": {64, 137}, "descending": {71, 144, 173}},
)  # fmt: skip


def query_over(bounds: tuple[float, float, float, float], crs: str, **options: object) -> Query:
    corner = GeoBox.from_bbox(bounds, crs="EPSG:4326", resolution=0.01).footprint(crs).boundingbox
    grid = GeoBox.from_bbox(corner, crs=crs, resolution=1000)
    return Query(**({"area": Area(box(*bounds)), "grid": grid, "period": ALWAYS} | options))  # type: ignore[arg-type]


def slow_passes(table: geopandas.GeoDataFrame) -> dict[tuple[int, str], set[str]]:
    """First second of every pass by track and platform: row by row, in the order of time."""
    times: dict[tuple[int, str], list[str]] = defaultdict(list)
    for row in table.itertuples():
        times[row.track_number, row.opera_id.split("_")[6]].append(row.opera_id.split("_")[4])
    firsts: dict[tuple[int, str], set[str]] = defaultdict(set)
    for key, values in times.items():
        last = np.datetime64("1970-01-01")
        for text in sorted(values):
            now = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:15]}")
            if now - last > np.timedelta64(60, "s"):
                firsts[key].add(text.rstrip("Z"))
            last = now
    return firsts


@pytest.mark.parametrize(("name", "crs", "directions"), [CHILE, ANGELES])
def test_real_lists_are_grouped_into_passes(
    shared: Path, name: str, crs: str, directions: dict[str, set[int]]
) -> None:
    path = shared / "data" / "stac_and_acquisition_catalogues" / "opera_rtc_s1_catalogues" / name
    table = geopandas.read_parquet(path)
    query = query_over(tuple(table.total_bounds), crs)  # type: ignore[arg-type]
    findings = OperaSource(catalogue=path).search(query)
    assert findings.notes == ()
    assert len({offer.key for offer in findings.offers}) == len(findings.offers)
    assert [offer.time for offer in findings.offers] == sorted(offer.time for offer in findings.offers)
    found: dict[tuple[int, str], set[str]] = defaultdict(set)
    seen: dict[str, set[int]] = defaultdict(set)
    for offer in findings.offers:
        found[offer.flight.relative_orbit, offer.flight.platform].add(offer.key.rpartition("/")[2])
        seen[offer.flight.orbit_direction].add(offer.flight.relative_orbit)
    assert found == slow_passes(table)
    assert seen == directions
    bursts = Counter(place for offer in findings.offers for place in offer.facts["bursts"].split())
    assert bursts == Counter(table.drop_duplicates("opera_id").jpl_burst_id)


def test_part_of_a_real_list(shared: Path) -> None:
    folder = shared / "data" / "stac_and_acquisition_catalogues" / "opera_rtc_s1_catalogues"
    table = geopandas.read_parquet(folder / ANGELES[0]).drop_duplicates("opera_id")
    bounds = (-118.30, 34.00, -118.20, 34.08)
    year = Period(np.datetime64("2023-01-01", "ns"), np.datetime64("2024-01-01", "ns"))
    query = query_over(bounds, ANGELES[1], period=year, orbits=(64, 71), direction="descending")
    offers = OperaSource(catalogue=folder / ANGELES[0]).search(query).offers
    around = query.grid.geographic_extent.geom.buffer(0.005)
    rows = table[(table.track_number == 71) & (table.acq_dt.dt.year == 2023) & table.intersects(around)]
    assert {offer.flight.relative_orbit for offer in offers} == {71}
    assert sorted(place for offer in offers for place in offer.facts["bursts"].split()) == sorted(
        rows.jpl_burst_id
    )
    assert len(offers) == rows.acq_dt.dt.date.nunique()


def listed(path: Path, **columns: object) -> Path:
    """A list of synthetic bursts as those of others are."""
    bursts = [one for day in ("20211201", "20211213") for one in synthetic(f"{day}T015900")]
    table = {
        "opera_id": [one.name for one in bursts],
        "acq_dt": np.array([one.time for one in bursts], dtype="datetime64[ns]"),
        "url_copol": [f"https://example.org/{one.name}_VV.tif" for one in bursts],
        "url_crosspol": [f"https://example.org/{one.name}_VH.tif" for one in bursts],
    }
    kept = {name: values for name, values in (table | columns).items() if values is not None}
    geopandas.GeoDataFrame(kept, geometry=[one.footprint for one in bursts], crs=4326).to_parquet(path)
    return path


QUERY = Query(area=Area(outline(GRID)), grid=GRID, period=ALWAYS)


def test_list_without_cross_polarisation(tmp_path: Path) -> None:
    path = listed(tmp_path / "list.parquet", url_crosspol=[None, *["https://e.org/a_VH.tif"] * 5])
    findings = OperaSource(catalogue=path).search(QUERY)
    assert [str(offer.time)[:19] for offer in findings.offers] == ["2021-12-13T01:59:00"]
    assert "1 of 2 passes left out, VH is missing" in findings.notes[0]


def test_list_elsewhere_gives_nothing(tmp_path: Path) -> None:
    far = GeoBox((10, 10), Affine(30, 0, 600_000, 0, -30, 5_000_000), "EPSG:32631")
    source = OperaSource(catalogue=listed(tmp_path / "list.parquet"))
    assert source.search(Query(area=Area(outline(far)), grid=far, period=ALWAYS)).offers == ()


def test_bad_lists(tmp_path: Path) -> None:
    path = listed(tmp_path / "list.parquet", url_copol=None)
    with pytest.raises(SourceError, match=r"list\.parquet: lacks url_copol"):
        OperaSource(catalogue=path).search(QUERY)
    (tmp_path / "words.parquet").write_text("words")
    for name in ("words.parquet", "nowhere.parquet"):
        with pytest.raises(SourceError, match=rf"{name}: cannot be read as GeoParquet"):
            OperaSource(catalogue=tmp_path / name).search(QUERY)
    path = listed(tmp_path / "other.parquet", opera_id=["S1A_IW_GRDH"] * 6)
    with pytest.raises(SourceError, match="is no OPERA RTC-S1 burst"):
        OperaSource(catalogue=path).search(QUERY)
