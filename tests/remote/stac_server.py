"""A small STAC API with rasters behind it, served on this machine, that can be told to misbehave."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

CONFORMANCE = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
]
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"


def cog(values: np.ndarray, grid: GeoBox, nodata: float | None = None) -> bytes:
    """A cloud-optimized GeoTIFF of one band, tiled, so that windows need ranges."""
    with MemoryFile() as memory:
        with memory.open(
            driver="COG", height=grid.shape[0], width=grid.shape[1], count=1, dtype=values.dtype,
            crs=str(grid.crs), transform=grid.affine, nodata=nodata, compress="deflate",
            overviews="none", blocksize=128 if max(grid.shape) < 512 else 512,
        ) as file:  # fmt: skip
            file.write(values, 1)
        return bytes(memory.read())


def outline(grid: GeoBox) -> dict[str, Any]:
    """Footprint and bounding box of a grid in degrees, as an item has them."""
    around = grid.geographic_extent
    return {"geometry": around.json, "bbox": list(around.boundingbox.bbox)}


@dataclass
class Holdings:
    """Items, and the files that their links name as ``files:NAME``."""

    items: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def add(
        self, item: Mapping[str, Any], grid: GeoBox, assets: Mapping[str, np.ndarray], **more: Any
    ) -> None:
        """Add an item like a given one, with rasters of its own; `more` are its properties."""
        one = deepcopy(dict(item))
        one |= outline(grid) | {"links": []}
        one["properties"] = {**one["properties"], **more, "proj:epsg": grid.crs.epsg}
        templates, one["assets"] = one.get("assets", {}), {}
        for name, values in assets.items():
            self.files[f"{one['id']}/{name}.tif"] = cog(values, grid)
            told = {
                key: value for key, value in templates.get(name, {}).items() if not key.startswith("proj:")
            }
            one["assets"][name] = told | {"href": f"files:{one['id']}/{name}.tif"}
        self.items.append(one)

    def linked(self, root: str) -> list[dict[str, Any]]:
        """Items whose links lead to a place."""
        items = deepcopy(self.items)
        for asset in (asset for item in items for asset in item["assets"].values()):
            asset["href"] = asset["href"].replace("files:", f"{root}/")
        return items

    def write(self, folder: Path) -> Path:
        """Write a static catalogue with relative links: a catalog, a collection each, items, files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "files" / name).write_bytes(data)
        names = sorted({item["collection"] for item in self.items})
        for name in names:
            own = [item for item in self.linked("../files") if item["collection"] == name]
            (folder / name).mkdir()
            for item in own:
                (folder / name / f"{item['id']}.json").write_text(json.dumps(item))
            links = [{"rel": "item", "href": f"./{item['id']}.json"} for item in own]
            page = collection_page(name) | {"links": links}
            (folder / name / "collection.json").write_text(json.dumps(page))
        links = [{"rel": "child", "href": f"./{name}/collection.json"} for name in names]
        root = {"type": "Catalog", "id": "own", "stac_version": "1.0.0", "description": "own", "links": links}
        (folder / "catalog.json").write_text(json.dumps(root))
        return folder / "catalog.json"


def collection_page(name: str) -> dict[str, Any]:
    """A collection that may hold anything."""
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    return {
        "type": "Collection", "id": name, "stac_version": "1.0.0", "description": name, "license": "other",
        "extent": extent, "links": [],
    }  # fmt: skip


@dataclass
class _Fault:
    kind: str
    match: str
    times: int
    seconds: float


class StacServer:
    """A STAC API over some holdings, as a context manager.

    Attributes
    ----------
    address : str
        Of the API.
    paths : list of str
        Everything that was asked for, in order.
    """

    def __init__(self, holdings: Holdings, *, page_size: int = 1000, query: bool = True) -> None:
        self.holdings, self.page_size, self.query = holdings, page_size, query
        self.paths: list[str] = []
        self.searches: list[dict[str, Any]] = []
        self.tokens = 0
        self.signature = ""
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()

    def __enter__(self) -> StacServer:
        config = uvicorn.Config(self._app(), host="127.0.0.1", port=0, log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.root = f"http://127.0.0.1:{port}"
        self.address = f"{self.root}/stac"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    @property
    def requests(self) -> int:
        """How many requests came."""
        return len(self.paths)

    def fault(self, kind: str, match: str = "", times: int = 1, seconds: float = 0.0) -> None:
        """Misbehave the next times that a path with `match` in it is asked for.

        Kinds: a status ("429", "503", ... with Retry-After `seconds`), "truncated" (the connection closes in
        the middle), "short" (less than asked for, and consistent), "slow" (answers after `seconds`),
        "missing", and "no raster".
        """
        with self._lock:
            self._faults.append(_Fault(kind, match, times, seconds))

    def clear(self) -> None:
        """Behave well again."""
        with self._lock:
            self._faults.clear()

    def _next_fault(self, path: str) -> _Fault | None:
        with self._lock:
            self.paths.append(path)
            for fault in self._faults:
                if fault.times > 0 and re.search(fault.match, path):
                    fault.times -= 1
                    return fault
        return None

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.middleware("http")
        async def misbehave(request: Request, follow: Any) -> Response:
            fault = self._next_fault(request.url.path)
            if fault is None:
                return await follow(request)
            if fault.kind == "slow":
                await asyncio.sleep(fault.seconds)
                return await follow(request)
            if fault.kind.isdigit():
                headers = {"Retry-After": f"{fault.seconds:g}"} if fault.seconds else {}
                return Response("no", int(fault.kind), headers)
            if fault.kind == "missing":
                return Response("no", 404)
            if fault.kind == "no raster":
                return Response(b"<html>Please log in</html>" * 2000)
            answer = await follow(request)
            body = b"".join([part async for part in answer.body_iterator])
            headers = dict(answer.headers)
            if fault.kind == "short":
                headers["content-length"] = str(len(body) // 2)
            return StreamingResponse(_pieces(body[: len(body) // 2]), answer.status_code, headers)

        @app.get("/stac")
        def landing() -> dict[str, Any]:
            search = {"rel": "search", "type": "application/geo+json", "href": f"{self.address}/search"}
            links = [
                {"rel": "self", "href": self.address}, {"rel": "root", "href": self.address},
                {"rel": "data", "href": f"{self.address}/collections"},
                search | {"method": "GET"}, search | {"method": "POST"},
            ]  # fmt: skip
            conforms = CONFORMANCE + ([QUERY] if self.query else [])
            return {
                "type": "Catalog", "id": "test", "stac_version": "1.0.0", "description": "test",
                "conformsTo": conforms, "links": links,
            }  # fmt: skip

        @app.get("/stac/collections")
        def collections() -> dict[str, Any]:
            names = sorted({item["collection"] for item in self.holdings.items})
            return {"collections": [collection_page(name) for name in names], "links": []}

        @app.get("/stac/search")
        def get_search(request: Request) -> Response:
            asked: dict[str, Any] = dict(request.query_params)
            for name in ("collections", "bbox"):
                if name in asked:
                    asked[name] = asked[name].split(",")
            asked["query"] = json.loads(asked.get("query", "{}"))
            return self._page(asked, "GET")

        @app.post("/stac/search")
        async def post_search(request: Request) -> Response:
            return self._page(await request.json(), "POST")

        @app.get("/token/{collection}")
        def token(collection: str) -> dict[str, str]:
            self.tokens += 1
            self.signature = f"sig={collection}-{self.tokens}"
            return {"msft:expiry": "2100-01-01T00:00:00Z", "token": self.signature}

        @app.api_route("/files/{name:path}", methods=["GET", "HEAD"])
        def file(name: str, request: Request) -> Response:
            return self._file(name, request)

        return app

    def _file(self, name: str, request: Request) -> Response:
        if self.signature and request.url.query != self.signature:
            return Response("no", 403)
        data = self.holdings.files.get(name)
        if data is None:
            return Response("no", 404)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if not asked:
            return Response(data, media_type="image/tiff", headers={"Accept-Ranges": "bytes"})
        start, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        if start >= len(data):
            return Response("no", 416)
        headers = {"Content-Range": f"bytes {start}-{end}/{len(data)}", "Accept-Ranges": "bytes"}
        return Response(data[start : end + 1], 206, headers, media_type="image/tiff")

    def _page(self, asked: dict[str, Any], method: str) -> Response:
        self.searches.append(asked)
        found = [
            item for item in self.holdings.linked(f"{self.root}/files") if _fits(item, asked, self.query)
        ]
        start, limit = int(asked.get("token", 0)), min(int(asked.get("limit", 10)), self.page_size)
        links: list[dict[str, Any]] = []
        if start + limit < len(found):
            if method == "POST":
                body = asked | {"token": start + limit}
                links = [{"rel": "next", "href": f"{self.address}/search", "method": "POST", "body": body}]
            else:
                href = f"{self.address}/search?limit={limit}&token={start + limit}"
                links = [{"rel": "next", "href": href, "method": "GET"}]
        page = {"type": "FeatureCollection", "features": found[start : start + limit], "links": links}
        return JSONResponse(page, media_type="application/geo+json")


async def _pieces(body: bytes) -> Any:
    yield body


def _fits(item: Mapping[str, Any], asked: Mapping[str, Any], query: bool) -> bool:
    told = item["properties"]
    if asked.get("collections") and item["collection"] not in asked["collections"]:
        return False
    if asked.get("bbox"):
        west, south, east, north = (float(part) for part in asked["bbox"])
        left, bottom, right, top = item["bbox"]
        if not (west <= right and left <= east and south <= top and bottom <= north):
            return False
    if asked.get("datetime"):
        start, end = (_moment(part) for part in asked["datetime"].split("/"))
        first = _moment(told.get("start_datetime") or told["datetime"])
        if not start <= first <= end:
            return False
    if not query and asked.get("query"):
        raise AssertionError("a server without the extension was sent a query")
    tests = {"lte": lambda a, b: a <= b, "eq": lambda a, b: a == b, "in": lambda a, b: a in b}
    return all(
        name in told and tests[test](told[name], value)
        for name, limits in (asked.get("query") or {}).items()
        for test, value in limits.items()
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


# what to serve


def s2_item(when: str, tile: str = "31UDS", baseline: str = "02.12", clouds: float = 10.0) -> dict[str, Any]:
    """An item in the way of Planetary Computer."""
    stamp = re.sub(r"\D", "", when)[:14]
    take = f"{stamp[:8]}T{stamp[8:]}"
    number = baseline.replace(".", "")
    made = f"{when[:10]}T{number[:2]}:{number[2:]}:00Z"
    name = f"S2A_MSIL2A_{take}_N{number}_R051_T{tile}_{stamp[:8]}T{number}00"
    return {
        "type": "Feature", "stac_version": "1.0.0", "collection": "sentinel-2-l2a",
        "id": name.replace(f"_N{number}", ""), "assets": {},
        "properties": {
            "datetime": when, "platform": "Sentinel-2A", "eo:cloud_cover": clouds, "s2:mgrs_tile": tile,
            "s2:processing_baseline": baseline, "s2:product_uri": f"{name}.SAFE", "sat:relative_orbit": 51,
            "sat:orbit_state": "descending", "s2:generation_time": made,
        },
    }  # fmt: skip


def rtc_item(
    when: str, orbit: int = 137, absolute: int = 30643, direction: str = "ascending"
) -> dict[str, Any]:
    """A radar item in the way of Planetary Computer."""
    stamp = re.sub(r"\D", "", when)[:14]
    name = f"S1A_IW_GRDH_1SDV_{stamp[:8]}T{stamp[8:]}_{stamp[:8]}T{stamp[8:]}_{absolute:06d}_0382F7_rtc"
    return {
        "type": "Feature", "stac_version": "1.0.0", "collection": "sentinel-1-rtc", "id": name, "assets": {},
        "properties": {
            "datetime": when, "start_datetime": when, "platform": "SENTINEL-1A", "sat:orbit_state": direction,
            "sat:relative_orbit": orbit, "sat:absolute_orbit": absolute, "sar:product_type": "GRD",
            "sar:polarizations": ["VV", "VH"],
        },
    }  # fmt: skip


def synthetic(grid: GeoBox, *, dates: int = 2, seed: int = 1) -> Holdings:
    """Passes of both sensors every six days from 2020-06-01 on, a dem and land cover; needs no other data.

    Radar comes in two slices that overlap; some pixels hold no data.
    """
    held, chance = Holdings(), np.random.default_rng(seed)
    rows = grid.shape[0]
    for day in range(dates):
        when = str(np.datetime64("2020-06-01T17:32:05") + np.timedelta64(6 * day, "D"))
        for number, part in enumerate((grid[: rows * 2 // 3], grid[rows // 3 :])):
            start = str(np.datetime64(when) + np.timedelta64(25 * number, "s"))
            planes = [_speckle(chance, part) for _ in range(2)]
            held.add(
                rtc_item(f"{start}Z", absolute=30643 + 91 * day),
                part,
                dict(zip(("vv", "vh"), planes, strict=True)),
            )
        bands = {name: chance.integers(1, 6000, grid.shape).astype(np.uint16) for name in S2_BANDS}
        bands["SCL"] = chance.integers(3, 9, grid.shape).astype(np.uint8)
        for name in S2_BANDS:
            bands[name][:3, :5] = 0
        when = str(np.datetime64("2020-06-02T10:53:31") + np.timedelta64(6 * day, "D"))
        held.add(s2_item(f"{when}Z", clouds=(10.0 + 40 * day) % 100), grid, bands)
    held.add(
        _layer("cop-dem-glo-30", "2021-04-22"), grid, {"data": chance.normal(90, 20, grid.shape).astype("f4")}
    )
    for year in (2020, 2021):
        classes = chance.choice([10, 20, 50], grid.shape).astype(np.uint8)
        held.add(_layer("esa-worldcover", f"{year}-01-01"), grid, {"map": classes})
    return held


S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


def _speckle(chance: np.random.Generator, grid: GeoBox) -> np.ndarray:
    values = chance.gamma(4, 0.02, grid.shape).astype(np.float32) + np.float32(1e-6)
    values[chance.random(grid.shape) < 0.01] = 0
    return values


def _layer(collection: str, day: str) -> dict[str, Any]:
    return {
        "type": "Feature", "stac_version": "1.0.0", "collection": collection, "id": f"{collection}-{day}",
        "assets": {}, "properties": {"datetime": None, "start_datetime": f"{day}T00:00:00Z"},
    }  # fmt: skip


def real_item(shared: Path, name: str) -> dict[str, Any]:
    """A real item by a part of its file's name."""
    folder = shared / "data/stac_and_acquisition_catalogues"
    path = next(path for path in sorted(folder.rglob("*.json")) if name in path.name)
    item = json.loads(path.read_text())
    return dict(item)


def opera_series(shared: Path, burst: str = "T137-292324-IW2", dates: int = 6) -> Holdings:
    """A real radar series as items like those of the real RTC catalogue."""
    import rasterio

    held = Holdings()
    template = real_item(shared, "S1A_20200103_17RMJ_ASC.json")
    folder = shared / "data/opera_rtc_s1_t137"
    with rasterio.open(folder / f"{burst}_VV.tif") as vv, rasterio.open(folder / f"{burst}_VH.tif") as vh:
        grid = GeoBox(vv.shape, vv.transform, str(vv.crs))
        for index in range(1, dates + 1):
            platform = f"sentinel-{vv.tags(index)['satellite'][1:].lower()}"
            when = vv.descriptions[index - 1]
            stamp = str(np.datetime64(when.removesuffix("Z")))[:19]
            one = template | {"id": f"S1A_{stamp[:10].replace('-', '')}_{burst}_ASC"}
            planes = {"gamma0_vv": vv.read(index), "gamma0_vh": vh.read(index)}
            held.add(
                one, grid, planes, start_datetime=f"{stamp}Z", datetime=f"{stamp}Z",
                **{"sat:relative_orbit": 137, "sat:absolute_orbit": 40000 + index, "sentinel:product_ids": [],
                   "platform": platform, "sentinel:mgrs": "11SKT"},
            )  # fmt: skip
    return held


WORLDCEREAL = "data/worldcereal_s1_s2_agera5/00002806639B424A"


def worldcereal_series(shared: Path, dates: int = 6, **more: Any) -> Holdings:
    """A real optical series: the bands of 10 m as they are stored, and the classes of 20 m."""
    import xarray as xr

    held = Holdings()
    folder = shared / WORLDCEREAL
    ten, twenty = (
        xr.open_dataset(next(folder.glob(f"S2_L2A_{edge}m_*.nc")), mask_and_scale=False) for edge in (10, 20)
    )
    fine = GeoBox.from_bbox((501360, 5629040, 502000, 5629680), "EPSG:32631", resolution=10)
    for index, moment in enumerate(ten.timestamp.values[:dates]):
        planes = {band: ten[band].values[index] for band in ("B02", "B03", "B04", "B08")}
        item = s2_item(f"{str(moment)[:19]}Z", clouds=100.0 * float(np.mean(planes["B02"] > 2000)))
        held.add(item, fine, planes, **more)
        name = f"{item['id']}/SCL.tif"
        held.files[name] = cog(twenty.SCL.values[index], fine.zoom_out(2), 0)
        held.items[-1]["assets"]["SCL"] = {"href": f"files:{name}"}
    return held
