"""The manifest of a cube: kept whole, found again, in the way of nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import check_cube, create_cube, open_cube, summary
from terradelta.cube.manifest import Entry, Manifest
from terradelta.errors import CubeError


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    create_cube(tmp_path / "a.zarr", GeoBox((4, 5), Affine.scale(10, -10), "EPSG:32631"))
    return tmp_path / "a.zarr"


def test_it_is_found_again_as_it_was(cube: Path) -> None:
    manifest = Manifest(cube)
    assert manifest.last_request is None
    manifest.ask({"time": "2020", "source": ["opera"]})
    entry = Entry(
        "a/1", "failed", "sar", "2020-01-01T05:50:00", why="503", facts={"radiometry": "gamma0-rtc"}
    )
    manifest.record(entry, Entry("a/2", "empty", "optical", nbytes=12, seconds=0.5))
    manifest.save()
    again = Manifest(cube)
    assert again.entries == manifest.entries
    assert again.last_request == {"time": "2020", "source": ["opera"]}
    assert again.settled("a/2") and not again.settled("a/1") and not again.settled("a/3")


def test_the_same_request_is_kept_once_and_counts_as_the_last(cube: Path) -> None:
    manifest = Manifest(cube)
    for time in ("2019", "2020", "2019"):
        manifest.ask({"time": time, "source": []})
    assert [one["asked"]["time"] for one in manifest.requests] == ["2020", "2019"]


def test_nothing_is_written_where_nothing_changed(cube: Path) -> None:
    Manifest(cube).save()
    assert not (cube / "manifest").exists()
    manifest = Manifest(cube)
    manifest.record(Entry("a", "added", "sar"))
    manifest.save(lazily=True)
    assert not (cube / "manifest").exists()
    manifest.save()
    before = (cube / "manifest" / "zarr.json").stat().st_mtime_ns
    manifest.save()
    assert (cube / "manifest" / "zarr.json").stat().st_mtime_ns == before


def test_readers_of_zarr_show_it_and_the_cube_does_not_mind(cube: Path) -> None:
    manifest = Manifest(cube)
    manifest.ask({"time": "2020", "source": ["opera", "earth-search"]})
    manifest.record(Entry("a", "added", "sar"), Entry("b", "added", "sar"), Entry("c", "failed", "sar"))
    manifest.save()
    tree = xr.open_datatree(cube, engine="zarr", consolidated=False)
    assert set(tree["manifest"].attrs["entries"]) == {"a", "b", "c"}
    assert "manifest" not in open_cube(cube).children
    assert check_cube(cube) == []
    text = summary(open_cube(cube)).render()
    assert "asked for   2020 of opera, earth-search on " in text
    assert "2 added, 1 failed" in text


def test_a_newer_one_is_refused(cube: Path) -> None:
    manifest = Manifest(cube)
    manifest.record(Entry("a", "added", "sar"))
    manifest.save()
    file = cube / "manifest" / "zarr.json"
    document = json.loads(file.read_text())
    document["attributes"]["terradelta_manifest"] = 99
    file.write_text(json.dumps(document))
    with pytest.raises(CubeError, match="schema 99"):
        Manifest(cube)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"attributes": {}}',
     '{"attributes": {"terradelta_manifest": 1, "requests": 5, "entries": {}}}',
     '{"attributes": {"terradelta_manifest": 1, "requests": [], "entries": {"a": {"colour": "red"}}}}'],
)  # fmt: skip
def test_a_damaged_one_is_named_and_not_taken_for_an_empty_one(cube: Path, text: str) -> None:
    (cube / "manifest").mkdir()
    (cube / "manifest" / "zarr.json").write_text(text)
    with pytest.raises(
        CubeError, match=r"manifest/zarr\.json is damaged .*restore it from a copy, or remove it"
    ):
        Manifest(cube)


def test_what_was_asked_last_of_each_kind(cube: Path) -> None:
    manifest = Manifest(cube)
    for time, source in (("2019", "a"), ("2019", "b"), ("2020", "a")):
        manifest.ask({"time": time, "source": [source]})
    assert manifest.standing == [{"time": "2019", "source": ["b"]}, {"time": "2020", "source": ["a"]}]
