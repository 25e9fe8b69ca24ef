"""The catalogue, the archive, its login and its store on loopback: four hosts that play NASA's part."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote

from shapely import Polygon, box

USER, SECRET, TOKEN = "reader", "s3cret-word", "t0ken-of-reader"
SIGNATURE, COOKIE = "Signature=k33p-me", "asf-urs=c00kie-of-reader"
SHORT_NAME = "OPERA_L2_RTC-S1_V1"


@dataclass
class Granule:
    """One burst product: its GeoTIFFs by band, as bytes."""

    name: str
    files: dict[str, bytes]
    footprint: Polygon
    direction: str = "ASCENDING"

    @property
    def track(self) -> int:
        return int(self.name.split("_T")[1][:3])

    @property
    def time(self) -> datetime:
        return datetime.strptime(self.name.split("_")[4], "%Y%m%dT%H%M%SZ")


@dataclass
class Hosts:
    """What the four hosts know, what they were asked, and how they are to fail."""

    granules: list[Granule] = field(default_factory=list)
    page: int = 250
    catalogue_faults: list[int | str] = field(default_factory=list)
    store_faults: dict[str, list[int | str]] = field(default_factory=lambda: defaultdict(list))
    hits: Counter[str] = field(default_factory=Counter)
    questions: list[list[tuple[str, str]]] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    addresses: dict[str, str] = field(default_factory=dict)

    def item(self, granule: Granule) -> dict[str, Any]:
        """Describe a granule in the words of the catalogue (UMM-G), as far as they are read."""
        stem = f"{self.addresses['archive']}/RTC/OPERA-S1/{granule.name}"
        links = [f"{stem}_{band}.tif" for band in reversed(granule.files)]
        own = {
            "ASCENDING_DESCENDING": [granule.direction], "BEAM_MODE": ["IW"],
            "OPERA_BURST_ID": [granule.name.split("_")[3].replace("-", "_")],
            "PATH_NUMBER": [str(granule.track)], "POLARIZATION": list(granule.files),
            "PROCESSING_TYPE": ["RTC"], "PRODUCT_VERSION": ["1.0"],
        }  # fmt: skip
        points = [{"Longitude": x, "Latitude": y} for x, y in granule.footprint.exterior.coords]
        moment = f"{granule.time:%Y-%m-%dT%H:%M:%SZ}"
        return {
            "meta": {"concept-id": f"G-{granule.name}", "collection-concept-id": "C2777436413-ASF"},
            "umm": {
                "GranuleUR": granule.name,
                "TemporalExtent": {"RangeDateTime": {"BeginningDateTime": moment, "EndingDateTime": moment}},
                "AdditionalAttributes": [{"Name": name, "Values": values} for name, values in own.items()],
                "SpatialExtent": {"HorizontalSpatialDomain": {"Geometry": {"GPolygons": [
                    {"Boundary": {"Points": points}}
                ]}}},
                "CollectionReference": {"ShortName": SHORT_NAME, "Version": "1"},
                "Platforms": [{"ShortName": f"Sentinel-1{granule.name.split('_S1')[1][0]}"}],
                "RelatedUrls": [
                    *({"URL": link, "Type": "GET DATA", "Format": "GeoTIFF"} for link in links),
                    {"URL": f"{stem}_mask.tif", "Type": "GET DATA", "Format": "GeoTIFF"},
                    {"URL": f"{stem}.iso.xml", "Type": "EXTENDED METADATA"},
                    {"URL": f"{stem}_VV.tif.md5", "Type": "EXTENDED METADATA"},
                ],
                "DataGranule": {
                    "Identifiers": [{"IdentifierType": "ProducerGranuleId", "Identifier": granule.name}],
                    "ProductionDateTime": moment,
                    "ArchiveAndDistributionInformation": [
                        {"Name": f"{granule.name}_{band}.tif", "SizeInBytes": len(data), "Format": "GeoTIFF"}
                        for band, data in granule.files.items()
                    ],
                },
            },
        }  # fmt: skip

    def found(self, question: dict[str, list[str]]) -> list[Granule]:
        """Answer a question as the catalogue would."""
        chosen = sorted(self.granules, key=lambda one: (-one.time.timestamp(), one.name))
        if SHORT_NAME not in question.get("shortName", [SHORT_NAME]):
            return []
        if "bounding_box" in question:
            area = box(*(float(text) for text in question["bounding_box"][0].split(",")))
        else:
            numbers = [float(text) for text in question["polygon"][0].split(",")]
            area = Polygon(list(zip(numbers[::2], numbers[1::2], strict=True)))
        start, end = (datetime.fromisoformat(t.rstrip("Z")) for t in question["temporal"][0].split(",")[:2])
        chosen = [one for one in chosen if one.footprint.intersects(area) and start <= one.time <= end]
        for text in question.get("attribute[]", []):
            _, name, value = text.split(",", 2)
            chosen = [one for one in chosen if value in _values(self.item(one), name)]
        return chosen


def _values(item: dict[str, Any], name: str) -> list[str]:
    return next(own["Values"] for own in item["umm"]["AdditionalAttributes"] if own["Name"] == name)


class _Handler(BaseHTTPRequestHandler):
    """What all hosts share."""

    hosts: Hosts
    role: str
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    disable_nagle_algorithm = True

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", *, whole: bool = True, **headers: str) -> None:
        """Send an answer; the half of its body only where it is not to be whole."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not whole:
            body, self.close_connection = body[: len(body) // 2], True
        for start in range(0, len(body), 16384):
            part = body[start : start + 16384]
            self.wfile.write(part)
            self.wfile.flush()
            self.hosts.sent[self.role] += len(part)

    def do_GET(self) -> None:
        self.hosts.hits[self.role] += 1
        path, _, query = self.path.partition("?")
        getattr(self, f"{self.role}_get")(path, query)

    def do_POST(self) -> None:
        self.hosts.hits[self.role] += 1
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        pairs = parse_qsl(text)
        self.hosts.questions.append(pairs)
        fault = self.hosts.catalogue_faults.pop(0) if self.hosts.catalogue_faults else None
        if isinstance(fault, int):
            return self.answer(fault, json.dumps({"errors": ["no"]}).encode(), Retry_After="0")
        question = defaultdict(list)
        for name, value in pairs:
            question[name].append(value)
        found = self.hosts.found(question)
        first = int(self.headers.get("CMR-Search-After", "0"))
        page = found[first : first + min(self.hosts.page, int(question["page_size"][0]))]
        items = [self.hosts.item(one) for one in page]
        body = json.dumps({"hits": len(found), "took": 1, "items": items}).encode()
        after = {"CMR_Search_After": str(first + len(page))} if page and fault != "break off" else {}
        return self.answer(200, body, whole=fault != "truncate", Content_Type="application/json", **after)

    def archive_get(self, path: str, query: str) -> None:
        known = COOKIE in self.headers.get("Cookie", "")
        token = self.headers.get("Authorization", "")
        if token.startswith("Basic"):
            self.hosts.leaks.append(f"password at {path}")
        if path == "/login":
            state = dict(parse_qsl(query))["state"]
            return self.answer(302, Location=state, Set_Cookie=f"{COOKIE}; Path=/; HttpOnly")
        if token and token != f"Bearer {TOKEN}":
            return self.answer(401)
        if not known and not token:
            target = f"{self.hosts.addresses['archive']}/login"
            login = f"{self.hosts.addresses['login']}/oauth/authorize"
            return self.answer(
                302, Location=f"{login}?redirect_uri={quote(target, '')}&state={quote(path, '')}"
            )
        name = path.rpartition("/")[2]
        if name not in _files(self.hosts):
            return self.answer(404)
        signed = f"{SIGNATURE}&Number={self.hosts.hits['archive']}-{threading.get_ident()}"
        return self.answer(307, Location=f"{self.hosts.addresses['store']}/{name}?{signed}")

    def login_get(self, _: str, query: str) -> None:
        told = dict(parse_qsl(query))
        pair = b64encode(f"{USER}:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {pair}":
            return self.answer(401, WWW_Authenticate='Basic realm="Earthdata"')
        return self.answer(302, Location=f"{told['redirect_uri']}?code=1&state={quote(told['state'], '')}")

    def store_get(self, path: str, query: str) -> None:
        name = path.lstrip("/")
        if self.headers.get("Authorization"):
            self.hosts.leaks.append(f"{self.headers['Authorization'].split()[0]} at the store")
        if not query.startswith(SIGNATURE):
            return self.answer(403)
        data, faults = _files(self.hosts)[name], self.hosts.store_faults[name]
        wanted = self.headers.get("Range", f"bytes=0-{len(data) - 1}").partition("=")[2].split("-")
        first, last = int(wanted[0]), min(int(wanted[1] or len(data)), len(data) - 1)
        fault = faults[0] if faults and last > 0 else None
        if fault is not None and fault != "short":
            faults.pop(0)
        if isinstance(fault, int):
            return self.answer(fault)
        if fault == "short":
            data, last = data[: len(data) * 3 // 4], min(last, len(data) * 3 // 4 - 1)
            if first > last:
                return self.answer(416)
        if "Range" in self.headers and last > 0:
            self.hosts.sent["ranges"] += last + 1 - first
        ranged = {"Content_Range": f"bytes {first}-{last}/{len(data)}"} if "Range" in self.headers else {}
        return self.answer(
            206 if ranged else 200, data[first : last + 1], whole=fault != "truncate",
            Content_Type="image/tiff", Accept_Ranges="bytes", **ranged,
        )  # fmt: skip


def _files(hosts: Hosts) -> dict[str, bytes]:
    return {f"{one.name}_{band}.tif": data for one in hosts.granules for band, data in one.files.items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are no news."""


@contextmanager
def serving(hosts: Hosts) -> Iterator[Hosts]:
    """Run the four hosts, each on a port of its own."""
    servers = []
    for role in ("catalogue", "archive", "login", "store"):
        handler = type(role, (_Handler,), {"hosts": hosts, "role": role})
        server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        name = "localhost" if role == "store" else "127.0.0.1"
        hosts.addresses[role] = f"http://{name}:{server.server_port}"
        servers.append(server)
    try:
        yield hosts
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


__all__ = ["COOKIE", "SECRET", "SIGNATURE", "TOKEN", "USER", "Granule", "Hosts", "serving"]
