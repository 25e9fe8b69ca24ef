"""A stand-in for Sentinel Hub on this machine: tokens, catalogue and images of scenes that tests lay down."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.io import MemoryFile

USER, SECRET = "a-user", "very&secret+word"


@dataclass
class Scene:
    """One product: its entry in the catalogue and its pixels, bands by name; 0 in `valid` = no data."""

    collection: str
    name: str
    time: str
    grid: GeoBox
    bands: Mapping[str, np.ndarray]
    valid: np.ndarray | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    offset: int = 0

    @property
    def footprint(self) -> Any:
        return self.grid.geographic_extent.geom

    def entry(self) -> dict[str, Any]:
        return {
            "type": "Feature",
            "id": self.name,
            "geometry": shapely.geometry.mapping(self.footprint),
            "bbox": self.footprint.bounds,
            "properties": {"datetime": self.time, **self.properties},
        }

    def at(self, band: str, harmonised: bool) -> np.ndarray:
        if band == "dataMask":
            return np.ones(self.grid.shape) if self.valid is None else (self.valid != 0).astype(float)
        values = self.bands[band].astype(float)
        if harmonised and self.offset and band.startswith("B"):
            return np.maximum(values - self.offset, 0)
        return values


@dataclass
class Hub:
    """The service. `faults` of a path ("token", "search", "process") are used up one by one."""

    scenes: list[Scene] = field(default_factory=list)
    lifetime: float = 3600
    page: int = 100
    faults: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)
    url: str = ""
    lock: Lock = field(default_factory=Lock)

    def fail(self, where: str, *faults: dict[str, Any]) -> None:
        self.faults.setdefault(where, deque()).extend(faults)

    def count(self, where: str) -> int:
        return sum(1 for path, _ in self.asked if path == where)

    def bodies(self, where: str) -> list[Any]:
        return [body for path, body in self.asked if path == where]

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if (form.get("client_id"), form.get("client_secret")) != (USER, SECRET):
            return 401, {"error": "invalid_client", "error_description": "Invalid client credentials"}
        with self.lock:
            name = f"token-{len(self.tokens)}"
            self.tokens[name] = time.time() + self.lifetime
        return 200, {"access_token": name, "expires_in": self.lifetime, "token_type": "Bearer"}

    def knows(self, header: str) -> bool:
        return self.tokens.get(header.removeprefix("Bearer "), 0) > time.time()

    def search(self, body: dict[str, Any]) -> dict[str, Any]:
        first, last = (text.rstrip("Z") for text in body["datetime"].split("/"))
        wanted = dict(re.findall(r"([\w:]+)='(\w+)'", body.get("filter") or ""))
        found = [
            scene.entry()
            for scene in self.scenes
            if scene.collection in body["collections"]
            and np.datetime64(first) <= np.datetime64(scene.time.rstrip("Z")) <= np.datetime64(last)
            and scene.footprint.intersects(shapely.box(*body["bbox"]))
            and all(str(scene.properties.get(key)).upper() == value.upper() for key, value in wanted.items())
        ]
        begin = int(body.get("next", 0))
        limit = min(int(body.get("limit", 10)), self.page)
        context = {"limit": limit, "returned": len(found[begin : begin + limit])}
        if begin + limit < len(found):
            context["next"] = begin + limit
        return {"type": "FeatureCollection", "features": found[begin : begin + limit], "context": context}

    def process(self, body: dict[str, Any]) -> bytes:
        grid = _grid(body)
        kind = re.search(r'sampleType: "(\w+)"', body["evalscript"])[1].lower()  # type: ignore[index]
        inputs = re.findall(r'\{(?:datasource: "(\w+)", )?bands: (\[.*?\])', body["evalscript"])
        planes = []
        for source, bands in inputs:
            entry = next(one for one in body["input"]["data"] if not source or one["id"] == source)
            planes += self._planes(entry, json.loads(bands), grid)
        assert f"bands: {len(planes)}, sampleType" in body["evalscript"]
        return tiff(np.stack(planes), kind, grid)

    def _planes(self, entry: dict[str, Any], bands: list[str], grid: GeoBox) -> list[np.ndarray]:
        planes = [np.zeros(grid.shape) for _ in bands]
        filled = np.zeros(grid.shape, dtype=bool)
        scenes = [scene for scene in self.scenes if _matches(scene, entry)]
        harmonised = entry.get("processing", {}).get("harmonizeValues", True)
        for scene in sorted(scenes, key=lambda one: one.time, reverse=True):
            inside, rows, columns = _nearest(scene.grid, grid)
            use = inside & (scene.at("dataMask", harmonised)[rows, columns] > 0) & ~filled
            for plane, band in zip(planes, bands, strict=True):
                plane[use] = scene.at(band, harmonised)[rows, columns][use]
            filled |= use
        return planes


def _matches(scene: Scene, entry: dict[str, Any]) -> bool:
    """Whether a request is about a scene: by collection, time, direction and polarisation."""
    given = entry["dataFilter"]
    if scene.collection != entry["type"]:
        return False
    if "demInstance" in given:
        return bool(scene.name == given["demInstance"])
    times = [np.datetime64(given["timeRange"][key].rstrip("Z")) for key in ("from", "to")]
    pairs = {"orbitDirection": "sat:orbit_state", "polarization": "s1:polarization"}
    return bool(times[0] <= np.datetime64(scene.time.rstrip("Z")) <= times[1]) and all(
        str(scene.properties.get(name)).upper() == given[key] for key, name in pairs.items() if key in given
    )


def _grid(body: dict[str, Any]) -> GeoBox:
    left, bottom, right, top = body["input"]["bounds"]["bbox"]
    width, height = body["output"]["width"], body["output"]["height"]
    name = body["input"]["bounds"]["properties"]["crs"]
    crs = "EPSG:4326" if name.endswith("CRS84") else f"EPSG:{name.rsplit('/', 1)[1]}"
    affine = Affine((right - left) / width, 0, left, 0, (bottom - top) / height, top)
    return GeoBox((height, width), affine, crs)


def _nearest(source: GeoBox, target: GeoBox) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    columns, rows = np.meshgrid(np.arange(target.shape[1]) + 0.5, np.arange(target.shape[0]) + 0.5)
    x, y = target.affine @ (columns, rows)
    if source.crs != target.crs:
        x, y = Transformer.from_crs(str(target.crs), str(source.crs), always_xy=True).transform(x, y)
    columns, rows = (np.floor(values + 1e-6).astype(int) for values in ~source.affine @ (x, y))
    inside = (rows >= 0) & (rows < source.shape[0]) & (columns >= 0) & (columns < source.shape[1])
    return inside, np.where(inside, rows, 0), np.where(inside, columns, 0)


def tiff(planes: np.ndarray, kind: str, grid: GeoBox) -> bytes:
    if kind == "uint16":
        planes = np.clip(np.rint(planes), 0, 65535)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=len(planes), height=grid.shape[0], width=grid.shape[1], dtype=kind,
            crs=str(grid.crs), transform=grid.affine, compress="deflate",
        ) as file:  # fmt: skip
            file.write(planes.astype(kind))
        return bytes(memory.read())


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        where = self.path.rsplit("/", 1)[1]
        hub = self.hub
        if where == "token":
            form = {key: values[0] for key, values in parse_qs(raw.decode()).items()}
            body: Any = {key: value for key, value in form.items() if key != "client_secret"}
        else:
            body = json.loads(raw)
        with hub.lock:
            hub.asked.append((where, body))
            waiting = hub.faults.get(where)
            fault = waiting.popleft() if waiting else {}
        time.sleep(fault.get("sleep", 0))
        if "status" in fault:
            text = fault.get("text", json.dumps({"error": {"message": fault.get("message", "so it is")}}))
            self._send(fault["status"], text.encode(), "application/json", fault.get("headers"))
        elif where == "token":
            status, answer = hub.token(form)
            self._send(status, json.dumps(answer).encode(), "application/json")
        elif not hub.knows(self.headers.get("Authorization", "")):
            self._send(401, b'{"error": {"message": "You are not authorized!"}}', "application/json")
        elif where == "search":
            self._send(200, json.dumps(hub.search(body)).encode(), "application/json")
        else:
            whole = hub.process(body)
            cut = whole[: int(len(whole) * fault.get("keep", 1))]
            self._send(200, cut, "image/tiff", promised=len(whole) if fault.get("hang_up") else len(cut))

    def _send(
        self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None, promised: int = 0
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(promised or len(body)))
        self.end_headers()
        self.wfile.write(body)
        if promised > len(body):
            self.close_connection = True


@contextmanager
def served(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on a free port of this machine."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
