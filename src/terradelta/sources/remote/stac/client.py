"""Items of a catalogue: by search where it is an API, by walking where it is files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from pystac import Link
from pystac_client import Client
from pystac_client.stac_api_io import StacApiIO

from terradelta.errors import SourceError
from terradelta.sources.grids import Bounds
from terradelta.sources.remote.retrying import PATIENCE, BusyError, Patience, error_for, retried
from terradelta.sources.remote.stac.items import NOWHERE, Item, absolute

__all__ = ["Catalogue", "open_catalogue"]

_TIMEOUT = (20.0, 60.0)
_MOVES = 5
_STALE = 50
"""Pages without anything new after which a server is not asked for more."""


class _PatientIO(StacApiIO):
    """Requests of pystac-client that are tried again, and whose errors are one line."""

    def __init__(self, patience: Patience) -> None:
        super().__init__(max_retries=None, timeout=_TIMEOUT)
        self.patience = patience

    def request(
        self, href: str, method: str | None = None, headers: Any = None, parameters: Any = None
    ) -> str:
        """Ask, and ask again where that may help."""
        return retried(
            partial(self._once, href, (method or "GET").upper(), headers, parameters), self.patience
        )

    def _once(self, href: str, method: str, headers: Any, parameters: Any) -> str:
        parts = urlsplit(href)
        what = f"{parts.netloc}{parts.path}"
        body = {"json": parameters} if method == "POST" else {"params": parameters}
        try:
            answer = self._sent(method, href, headers=headers, timeout=_TIMEOUT, **body)
            text = answer.content.decode("utf-8")
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise BusyError(
                f"{what}: no whole answer ({type(error).__name__}); check the connection, or try again later"
            ) from None
        except (requests.RequestException, UnicodeDecodeError) as error:
            raise SourceError(
                f"{what}: cannot be asked ({type(error).__name__}); check the address"
            ) from None
        if not answer.ok:
            raise error_for(answer.status_code, what, answer.headers.get("Retry-After", ""))
        try:
            json.loads(text)
        except ValueError:
            raise BusyError(
                f"{what}: half an answer, or no JSON; check the address, or try again later"
            ) from None
        return text

    def _sent(self, method: str, href: str, **options: Any) -> requests.Response:
        """Send a request, and a search to where it has moved: by itself requests would forget its body."""
        for _ in range(_MOVES):
            answer = self.session.request(method, href, allow_redirects=method == "GET", **options)
            if not answer.is_redirect:
                break
            href = urljoin(href, answer.headers["Location"])
        return answer


@dataclass(frozen=True)
class Catalogue:
    """A catalogue that was opened.

    Attributes
    ----------
    address : str
        Where it is.
    root : mapping
        Its first page.
    api : bool
        It can be searched; else it is walked.
    """

    address: str
    root: Mapping[str, Any]
    api: bool
    _io: _PatientIO = field(repr=False)

    def items(
        self,
        collections: Sequence[str],
        boxes: Sequence[Bounds],
        interval: str | None,
        query: Mapping[str, Any],
        page_size: int = 100,
    ) -> Iterator[Item]:
        """Give each item once, all pages; what the server cannot filter is not filtered here.

        Parameters
        ----------
        collections : sequence of str
            Ids; empty: all (static catalogues only).
        boxes : sequence of (west, south, east, north)
            Degrees; items of any.
        interval : str or None
            Times "from/to".
        query : mapping
            Limits of properties, for servers that know the query extension.
        page_size : int
            Items per page.

        Raises
        ------
        UnavailableError
            The server does not answer as it should, in spite of several tries.
        SourceError
            There is no catalogue.
        """
        if self.api:
            found = self._searched(collections, boxes, interval, query, page_size)
        else:
            found = self._walked(boxes)
        seen: set[tuple[str, str]] = set()
        for item in found:
            identity = item.collection, item.id
            asked_for = not collections or item.collection in collections
            if identity not in seen and (asked_for or (self.api and item.collection == NOWHERE)):
                seen.add(identity)
                yield item

    def collections(self) -> list[str]:
        """Ids of the collections of an API."""
        client = self._client()
        return sorted(one.id for one in client.get_collections())

    def _client(self) -> Client:
        client = Client.from_dict(dict(self.root), href=self.address)
        client._stac_io = self._io
        return client

    def _searched(
        self,
        collections: Sequence[str],
        boxes: Sequence[Bounds],
        interval: str | None,
        query: Mapping[str, Any],
        page_size: int,
    ) -> Iterator[Item]:
        client = self._client()
        client.add_conforms_to("ITEM_SEARCH")
        limits = dict(query) if query and client.conforms_to("QUERY") else None
        links = [link for link in self.root.get("links", ()) if link.get("rel") == "search"]
        post = any(link.get("method", "").upper() == "POST" for link in links)
        for box in boxes:
            search = client.search(
                collections=list(collections), bbox=box, datetime=interval, query=limits, limit=page_size,
                method="POST" if post else "GET",
            )  # fmt: skip
            for page in self._pages(search.url, search.method or "GET", search.get_parameters()):
                for item in page:
                    yield Item(item, _own_address(item, self.address))

    def _pages(self, url: str, method: str, parameters: dict[str, Any]) -> Iterator[list[Mapping[str, Any]]]:
        """Items of each page, to the last one; some servers give empty pages on the way.

        Raises
        ------
        SourceError
            The pages lead in a circle.
        """
        seen, stale = set[str](), 0
        page = self._io.read_json(url, method=method, parameters=parameters)
        while True:
            items = list(page.get("features") or ())
            yield items
            names = {f"{item.get('collection')}/{item.get('id')}" for item in items} - seen
            seen |= names
            stale = 0 if names else stale + 1
            following = [link for link in page.get("links") or () if link.get("rel") == "next"]
            if not following or stale >= _STALE:
                break
            link = following[0] | {"href": urljoin(url, following[0]["href"])}
            page = self._io.read_json(Link.from_dict(link), parameters=parameters)
        if following and items:
            raise SourceError(f"{_plain(url)}: its pages go round in a circle; ask for a shorter time")

    def _walked(self, boxes: Sequence[Bounds]) -> Iterator[Item]:
        waiting, seen = [self.address], {self.address}
        while waiting:
            address = waiting.pop()
            page = self.root if address == self.address else _load(self._io, address)
            if page.get("type") == "Feature":
                yield Item(page, address)
            elif page.get("type") == "FeatureCollection":
                yield from (Item(one, address) for one in page.get("features", ()))
            elif _may_hold(page, boxes):
                below = [target for target in _below(page, address) if target not in seen]
                seen.update(below)
                waiting += reversed(below)


def open_catalogue(address: str, patience: Patience = PATIENCE) -> Catalogue:
    """Open an API, a static catalogue, a collection, or a file with items.

    Parameters
    ----------
    address : str
        http(s) address, or path of a JSON file.
    patience : Patience
        With the server.

    Raises
    ------
    SourceError
        There is nothing, or it is no STAC.
    UnavailableError
        The server does not answer.
    """
    access = _PatientIO(patience)
    root = _load(access, address)
    if (
        root.get("type") not in ("Catalog", "Collection", "FeatureCollection", "Feature")
        and "links" not in root
    ):
        raise SourceError(f"{_plain(address)}: is no STAC catalogue, collection or item; check the address")
    searchable = any(link.get("rel") == "search" for link in root.get("links", ()))
    return Catalogue(address, root, searchable and bool(root.get("conformsTo")), access)


def _load(access: _PatientIO, address: str) -> Mapping[str, Any]:
    try:
        if urlsplit(address).scheme in ("http", "https"):
            text = access.request(address)
        else:
            text = Path(address.removeprefix("file://")).read_text(encoding="utf-8")
        page = json.loads(text)
    except OSError as error:
        raise SourceError(f"{address}: {error.strerror}; check the path of the catalogue") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{_plain(address)}: is no JSON; check the address of the catalogue") from error
    if not isinstance(page, dict):
        raise SourceError(f"{_plain(address)}: is no STAC catalogue; check the address")
    return page


def _plain(address: str) -> str:
    """Address without what may be secret."""
    return address.partition("?")[0]


def _own_address(item: Mapping[str, Any], default: str) -> str:
    links = (str(link.get("href", "")) for link in item.get("links", ()) if link.get("rel") == "self")
    return next((link for link in links if urlsplit(link).scheme), default)


def _may_hold(page: Mapping[str, Any], boxes: Sequence[Bounds]) -> bool:
    """Whether a catalogue or collection can hold something of the boxes, by the extent it tells."""
    told = page.get("extent", {}).get("spatial", {}).get("bbox", [])[:1]
    if not boxes or not told or len(told[0]) not in (4, 6) or told[0][0] > told[0][len(told[0]) // 2]:
        return True
    half = len(told[0]) // 2
    west, south, east, north = told[0][0], told[0][1], told[0][half], told[0][half + 1]
    return any(
        west <= box[2] + turn and box[0] + turn <= east and south <= box[3] and box[1] <= north
        for box in boxes
        for turn in (0, 360)
    )


def _below(page: Mapping[str, Any], address: str) -> list[str]:
    links = (link for link in page.get("links", ()) if link.get("rel") in ("child", "item", "items"))
    return list(dict.fromkeys(absolute(str(link.get("href", "")), address) for link in links))
