"""Sources by name: the known ones, addresses, static catalogues, lists and folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from terradelta.errors import InputError, SourceError
from terradelta.sources.remote.local import FolderSource
from terradelta.sources.remote.offers import Source

__all__ = ["known_sources", "open_source", "require_no_secret"]

_CATALOGUES = ("catalog.json", "collection.json")


def known_sources() -> tuple[str, ...]:
    """Names of the sources that need no address.

    Examples
    --------
    >>> "opera" in known_sources()
    True
    """
    return tuple(sorted((*_profiles(), *_NAMED)))


def open_source(text: str) -> Source:
    """Find a source by its name, address or path.

    Parameters
    ----------
    text : str
        A name of :func:`known_sources`; the address of a STAC API; a static catalogue (``catalog.json``,
        ``collection.json``, a collection of items, or the folder that holds one); a profile of one's own
        (YAML); a list of OPERA bursts (GeoParquet); or a folder of rasters.

    Raises
    ------
    InputError
        A package that the source needs is not installed.
    SourceError
        There is no such source.

    Examples
    --------
    >>> open_source("earth-serch")
    Traceback (most recent call last):
    terradelta.errors.SourceError: unknown source 'earth-serch'; did you mean earth-search?...
    """
    if text in _NAMED:
        return _NAMED[text]()
    if text in _profiles():
        return _stac(text)
    if "://" in text:
        require_no_secret(text)
        return _stac(text)
    path = Path(text)
    if not path.exists():
        raise SourceError(_unknown(text))
    if path.is_dir() and not any((path / name).is_file() for name in _CATALOGUES):
        return FolderSource(path)
    if path.suffix.lower() == ".parquet":
        return _opera(path)
    if path.is_dir() or path.suffix.lower() in (".json", ".geojson", ".yaml", ".yml"):
        return _stac(text)
    return FolderSource(path)


def _unknown(text: str) -> str:
    known = known_sources()
    near = get_close_matches(text, known, n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return (
        f"unknown source {text!r}; {meant}known are {', '.join(known)}, addresses of STAC APIs, static "
        "catalogues and folders"
    )


def require_no_secret(address: str) -> None:
    """Refuse an address with credentials, before it is written anywhere; names and paths pass.

    Raises
    ------
    SourceError
        It holds a user, a password or a query; they are not repeated.
    """
    parts = urlsplit(address if "://" in address else "")
    if parts.username or parts.password or parts.query:
        raise SourceError(
            f"{parts.scheme}://{parts.hostname}: the address holds credentials or a query, which the cube "
            "would keep; give it without, and credentials in ~/.netrc or the environment"
        )


@contextmanager
def _needs(extra: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"this source needs the package {error.name}; install it with: pip install 'terradelta[{extra}]'"
        ) from error


def _profiles() -> tuple[str, ...]:
    from terradelta.sources.remote.stac.profile import profile_names

    return profile_names()


def _stac(text: str) -> Source:
    with _needs("stac"):
        from terradelta.sources.remote.stac import StacSource

        return StacSource(text)


def _opera(catalogue: Path | None = None) -> Source:
    with _needs("stac"):
        from terradelta.sources.remote.opera import OperaSource

        return OperaSource(catalogue=catalogue)


def _hub(deployment: str) -> Source:
    with _needs("sentinelhub"):
        from terradelta.sources.remote.sentinel_hub import SentinelHubSource

        return SentinelHubSource(deployment)


_NAMED: dict[str, Callable[[], Source]] = {
    "opera": _opera,
    "sentinel-hub": lambda: _hub("sentinel-hub"),
    "sentinel-hub-cdse": lambda: _hub("sentinel-hub-cdse"),
}
