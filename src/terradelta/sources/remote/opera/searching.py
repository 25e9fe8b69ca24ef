"""Bursts from NASA's catalogue (CMR), asked through asf_search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from terradelta.errors import InputError, SourceError, UnavailableError
from terradelta.sources.remote.offers import Period
from terradelta.sources.remote.opera.bursts import Burst, band_files, identity_of
from terradelta.sources.remote.retrying import PATIENCE, Patience

__all__ = ["CATALOGUE", "search_bursts"]

CATALOGUE = "https://cmr.earthdata.nasa.gov"


def search_bursts(
    outline: Any,
    period: Period,
    *,
    polarisation: str,
    orbits: tuple[int, ...] = (),
    direction: str = "",
    catalogue: str = CATALOGUE,
    patience: Patience = PATIENCE,
) -> list[Burst]:
    """Ask for the RTC-S1 bursts that meet an outline in a period.

    Parameters
    ----------
    outline : shapely Polygon
        Longitude and latitude.
    period : Period
        Times of acquisition.
    polarisation : str
        A band that must be there.
    orbits : tuple of int
        Relative orbits; empty: all.
    direction : str
        "ascending" or "descending"; empty: both.
    catalogue : str
        Address of the catalogue.
    patience : Patience
        How often and how long to try.

    Raises
    ------
    UnavailableError
        The catalogue does not answer, or not to the end.
    SourceError
        It refuses the question.
    InputError
        asf_search is not installed.
    """
    asf_search, session = _asf_search()
    host = urlsplit(catalogue).netloc
    options = asf_search.ASFSearchOptions(
        dataset="OPERA-S1", processingLevel="RTC", intersectsWith=outline.wkt, polarization=polarisation,
        start=period.start.astype("datetime64[s]").item(), end=period.end.astype("datetime64[s]").item(),
        relativeOrbit=list(orbits) or None, flightDirection=direction.upper() or None,
        host=host, session=session(urlsplit(catalogue).scheme, patience),
    )  # fmt: skip
    try:
        return [_burst(product) for page in _pages(asf_search, options) for product in page]
    except asf_search.ASFSearch4xxError as error:
        raise SourceError(f"{host}: refuses the search ({_reason(error)})") from error
    except (asf_search.ASFSearchError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise UnavailableError(f"{host}: broken answer ({_reason(error)}); try again later") from error


def _asf_search() -> tuple[Any, Any]:
    """Give asf_search, told not to report errors to anybody, and the session for it."""
    try:
        import asf_search

        from terradelta.sources.remote.opera.session import CatalogueSession
    except ImportError as error:
        raise InputError("opera needs asf-search; install it with: pip install 'terradelta[stac]'") from error
    asf_search.REPORT_ERRORS = False
    return asf_search, CatalogueSession


def _pages(asf_search: Any, options: Any) -> Iterator[Any]:
    """Pages of the answer; the last one must say that it is the last."""
    page = None
    for page in asf_search.search_generator(opts=options):
        yield page
    if page is not None and not page.searchComplete:
        raise UnavailableError(f"{options.host}: gave only a part of the bursts; try again later")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _burst(product: Any) -> Burst:
    """Understand one entry of the catalogue."""
    from shapely.geometry import shape

    own = product.properties
    files = band_files([own["url"], *own["additionalUrls"]])
    named = {band: address.rpartition("/")[2] for band, address in files.items()}
    return Burst(
        identity=identity_of(own["fileID"]),
        direction=str(own["flightDirection"] or "").lower(),
        files=files,
        footprint=shape(product.geometry),
        sizes={band: own["bytes"][name]["bytes"] for band, name in named.items() if name in own["bytes"]},
    )
