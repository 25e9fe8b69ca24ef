"""Catalogues that are right in their own way, and some that are wrong."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import shapely
from stac_queries import GRID, HASTY, asked
from stac_server import CONFORMANCE, QUERY, outline, rtc_item, s2_item

from terradelta.errors import SourceError, UnavailableError
from terradelta.sources.area import Area
from terradelta.sources.remote.stac import StacSource
from terradelta.sources.remote.stac.client import open_catalogue
from terradelta.sources.remote.stac.items import Item

Asked = Mapping[str, Any]
Answer = tuple[int, dict[str, str], bytes] | dict[str, Any]


class Odd:
    """An API on loopback whose search is a function of (number of the request, what is asked)."""

    def __init__(self, search: Callable[[int, Asked], Answer], methods: tuple[str, ...]) -> None:
        self.search, self.methods, self.conforms = search, methods, [*CONFORMANCE, QUERY]
        self.asked: list[Asked] = []

    def landing(self) -> dict[str, Any]:
        search = {"rel": "search", "type": "application/geo+json", "href": f"{self.root}/search"}
        links = [search | {"method": one} for one in self.methods]
        return {
            "type": "Catalog", "id": "odd", "stac_version": "1.0.0", "description": "odd",
            "conformsTo": self.conforms, "links": links,
        }  # fmt: skip

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        parts = urlsplit(path)
        if parts.path == "/stac":
            return self.landing()
        told = json.loads(body) if body else {key: one[0] for key, one in parse_qs(parts.query).items()}
        self.asked.append({"method": method, "path": parts.path} | told)
        return self.search(len(self.asked) - 1, self.asked[-1])

    def find(self, **more: Any) -> tuple[Any, ...]:
        source = StacSource(f"{self.root}/stac", patience=HASTY)
        return source.search(asked(products=("sentinel-1-rtc",), **more)).offers


@contextmanager
def odd(search: Callable[[int, Asked], Answer], methods: tuple[str, ...] = ("GET", "POST")) -> Iterator[Odd]:
    api = Odd(search, methods)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer = api.answer(self.command, self.path, body)
            if isinstance(answer, dict):
                answer = 200, {}, json.dumps(answer).encode()
            self.send_response(answer[0])
            for name, value in ({"Content-Type": "application/json"} | answer[1]).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer[2])))
            self.end_headers()
            self.wfile.write(answer[2])

        def do_POST(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.root = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def radar(day: int, **more: Any) -> dict[str, Any]:
    item = rtc_item(f"2020-06-{day:02d}T17:32:05Z", absolute=30000 + day) | outline(GRID)
    item["assets"] = {name: {"href": f"/files/{day}/{name}.tif"} for name in ("vv", "vh")}
    return item | more


def page(*items: Mapping[str, Any], **following: Any) -> dict[str, Any]:
    links = [{"rel": "next"} | following] if following else []
    return {"type": "FeatureCollection", "features": list(items), "links": links}


def days(offers: tuple[Any, ...]) -> list[str]:
    return [str(offer.time)[8:10] for offer in offers]


def test_empty_page_is_not_the_last_one():
    with odd(
        lambda n, told: page(*[radar(n + 1)] * (n != 1), **({"href": "/search?n=1"} if n < 2 else {}))
    ) as api:
        assert days(api.find()) == ["01", "03"]
        assert api.asked[1] == {"method": "GET", "path": "/search", "n": "1"}


def test_pages_that_follow_merge_what_was_asked():
    def search(number: int, told: Asked) -> Answer:
        more = {"href": f"{api.root}/search", "method": "POST", "merge": True, "body": {"token": "b"}}
        return page(radar(number + 1), **({} if number else more))

    with odd(search) as api:
        assert days(api.find()) == ["01", "02"]
        assert api.asked[1] == api.asked[0] | {"token": "b"}


@pytest.mark.parametrize("same", [True, False])
def test_pages_without_end_end(same: bool):
    with odd(lambda n, told: page(radar(1), href=f"/search?n={0 if same else n}")) as api:
        with pytest.raises(SourceError, match=r"/search: its pages go round in a circle") as caught:
            api.find()
        assert not isinstance(caught.value, UnavailableError)
        assert len(api.asked) < 100
    with odd(lambda n, told: page(*[radar(1)] * (n == 0), href=f"/search?n={n}")) as api:
        assert days(api.find()) == ["01"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_search_that_has_moved_keeps_what_is_asked(status: int):
    def search(number: int, told: Asked) -> Answer:
        return page(radar(1)) if told["path"] == "/new" else (status, {"Location": "/new"}, b"")

    with odd(search) as api:
        assert days(api.find()) == ["01"]
        assert api.asked[1] == api.asked[0] | {"path": "/new"}
        assert api.asked[1]["method"] == "POST"
    with odd(lambda n, told: (status, {"Location": "/search"}, b"")) as api, pytest.raises(SourceError):
        api.find()


def test_api_that_knows_get_alone_and_an_old_standard():
    with odd(lambda n, told: page(radar(1)), methods=("GET",)) as api:
        api.conforms = ["https://api.stacspec.org/v1.0.0-beta.1/core"]
        assert days(api.find()) == ["01"]
        assert api.asked[0]["method"] == "GET"
        assert api.asked[0]["collections"] == "sentinel-1-rtc"


def test_server_that_filters_nothing():
    far = {"geometry": shapely.geometry.mapping(shapely.box(10, 10, 11, 11)), "bbox": [10, 10, 11, 11]}
    early = rtc_item("2019-06-01T17:32:05Z") | outline(GRID) | {"assets": radar(1)["assets"]}
    others = [radar(2, id="far", **far), early, radar(3, id="other", collection="sentinel-1-grd")]
    with odd(lambda n, told: page(radar(1), *others)) as api:
        assert days(api.find()) == ["01"]


@pytest.mark.parametrize(
    "body", [b"<html>Please wait {}</html>", b'{"features": [{"id": {}', b'{"links": {}}}']
)
def test_what_is_no_json_is_tried_again(body: bytes):
    with odd(lambda n, told: page(radar(1)) if n else (200, {"Content-Type": "text/html"}, body)) as api:
        assert days(api.find()) == ["01"]
    with odd(lambda n, told: (200, {}, body)) as api:
        with pytest.raises(UnavailableError, match=r"/search: half an answer, or no JSON"):
            api.find()
        assert len(api.asked) == HASTY.attempts


def test_packed_answers():
    whole = gzip.compress(json.dumps(page(radar(1))).encode())
    packed = {"Content-Encoding": "gzip"}
    with odd(lambda n, told: (200, packed, whole[: len(whole) // 2] if n == 0 else whole)) as api:
        assert days(api.find()) == ["01"]
    with odd(lambda n, told: (200, packed, b"not packed")) as api, pytest.raises(SourceError):
        api.find()


@pytest.mark.parametrize("status", [429, 503])
def test_busy_server_that_does_not_say_when(status: int):
    with odd(lambda n, told: page(radar(1)) if n > 1 else (status, {}, b"")) as api:
        assert days(api.find()) == ["01"]


def test_links_of_items():
    item = radar(1)
    item["assets"] = {
        "vv": {"href": "./vv.tif"},
        "vh": {"href": "s3://bucket/vh.tif"},
        "x": {"href": "/x.tif"},
    }
    item["links"] = [{"rel": "self", "href": "https://example.org/stac/items/1"}]
    with odd(lambda n, told: page(item)) as api:
        (only,) = open_catalogue(f"{api.root}/stac", HASTY).items(
            ["sentinel-1-rtc"], [(0, 0, 9, 60)], None, {}
        )
    assert [only.address(name) for name in item["assets"]] == [
        "https://example.org/stac/items/vv.tif", "s3://bucket/vh.tif", "https://example.org/x.tif",
    ]  # fmt: skip
    local = Item(item, "/data/c/s/1.json")
    assert [local.address(name) for name in item["assets"]] == [
        "/data/c/s/vv.tif", "s3://bucket/vh.tif", "/x.tif",
    ]  # fmt: skip


def test_little_is_told(tmp_path: Path):
    west, south, east, north = GRID.geographic_extent.geom.bounds
    plain = radar(1, bbox=[west + 360, south, east + 360, north], geometry=None)
    plain["properties"] |= {
        "sar:product_type": "RTC",
        "datetime": None,
        "end_datetime": "2020-06-01T17:32:30Z",
    }
    del plain["collection"]
    named = s2_item("2020-06-02T10:53:31Z") | outline(GRID)
    named["assets"] = {
        f"{name}-band": {"href": f"{name}.tif", "eo:bands": [{"common_name": name}]}
        for name in ("nir09", "nir08", "nir", "red")
    }
    (tmp_path / "items.json").write_text(json.dumps(page(plain, named)))
    found = StacSource(str(tmp_path / "items.json")).search(asked())
    assert [(offer.group, offer.bands) for offer in found.offers] == [
        ("sar", ("VV", "VH")), ("optical", ("B04", "B08", "B8A", "B09")),
    ]  # fmt: skip
    collection = {
        "type": "Collection", "id": "c", "links": [{"rel": "item", "href": "items.json"}],
        "extent": {"spatial": {"bbox": [[180, -90, 360 + 10, 90]]}},
    }  # fmt: skip
    (tmp_path / "collection.json").write_text(json.dumps(collection))
    far = Area(shapely.box(-20, -10, -10, 10))
    moved = plain | {"bbox": [340, -10, 350, 10]}
    (tmp_path / "items.json").write_text(json.dumps(page(moved)))
    assert len(StacSource(str(tmp_path)).search(asked(area=far)).offers) == 1


def test_one_pass_around_midnight_and_many_at_one_time(tmp_path: Path):
    items = []
    for moment, orbit, absolute, platform in (
        ("01T23:59:50", 137, 30643, "SENTINEL-1A"), ("02T00:00:15", 137, 30643, "SENTINEL-1A"),
        ("02T00:01:30", 137, 30643, "SENTINEL-1A"), ("01T23:59:50", 64, 30643, "sentinel-1c"),
        ("02T00:00:15", 8, 700, "Sentinel-1D"),
    ):  # fmt: skip
        item = rtc_item(f"2020-06-{moment}Z", orbit=orbit, absolute=absolute) | outline(GRID)
        item["id"] += str(len(items))
        item["properties"]["platform"] = platform
        items.append(item | {"assets": radar(1)["assets"]})
    path = tmp_path / "items.json"

    def keys(*given: dict[str, Any]) -> list[str]:
        path.write_text(json.dumps(page(*given)))
        return sorted(
            offer.key.partition("rtc/")[2] for offer in StacSource(str(path)).search(asked()).offers
        )

    whole = keys(*items)
    assert whole == ["S1A/137/030643a", "S1C/64/030643a", "S1D/8/000700a"]
    assert keys(*items[1:]) == whole
    assert keys(*items[2:]) == whole
    assert keys(*reversed(deepcopy(items))) == whole


@pytest.mark.parametrize(("told", "orbit"), [(51, 51), ("R051", 51), ("51", 51), (None, 121), ("", 121)])
def test_orbits_in_any_spelling(told: object, orbit: int):
    item = rtc_item("2020-01-03T23:35:56Z", absolute=30643)
    item["properties"] |= {"sat:relative_orbit": told}
    item |= {"geometry": {"type": "Point", "coordinates": [3, 45]}, "bbox": [3, 45, 3, 45]}
    assert Item(item, "").flight.relative_orbit == orbit
