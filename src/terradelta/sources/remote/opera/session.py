"""Requests to the catalogue and to the archive: patient ones, and with a login where one is asked for."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

import requests

from terradelta.errors import AccessError, UnavailableError
from terradelta.sources.remote.opera.credentials import Credentials, Login, find_credentials
from terradelta.sources.remote.retrying import PATIENCE, Patience, error_for, retried

__all__ = ["CatalogueSession", "EarthdataSession", "PatientSession", "Place", "locate"]

_TIMEOUT = (20, 60)


class PatientSession(requests.Session):
    """Session that tries again where a server asks for patience.

    Parameters
    ----------
    patience : Patience
        How often and how long.

    Raises
    ------
    UnavailableError
        By every request: no connection, a body cut short, too many requests, or an error of the server.
    """

    def __init__(self, patience: Patience = PATIENCE) -> None:
        super().__init__()
        self.patience = patience

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Send a request, several times if need be."""
        options.setdefault("timeout", _TIMEOUT)
        return retried(partial(self._once, method, url, *args, **options), self.patience)

    def _once(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:
        host = urlsplit(url).netloc
        try:
            response = super().request(method, url, *args, **options)
        except requests.RequestException as error:
            raise UnavailableError(
                f"{host}: no whole answer ({type(error).__name__}); check the connection, or try again later"
            ) from None
        if response.status_code >= 400:
            refusal = error_for(response.status_code, host, response.headers.get("Retry-After", ""))
            if isinstance(refusal, UnavailableError):
                response.close()
                raise refusal
        return response


class CatalogueSession(PatientSession):
    """Session for asf_search, which writes ``https`` before every host: other schemes are put back.

    Parameters
    ----------
    scheme : str
        "https", or "http" for a catalogue on this machine.
    patience : Patience
        How often and how long to try.
    """

    def __init__(self, scheme: str = "https", patience: Patience = PATIENCE) -> None:
        super().__init__(patience)
        self.scheme = scheme
        self.headers["Client-Id"] = "terradelta"

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Send a request by the catalogue's own scheme."""
        return super().request(method, urlsplit(url)._replace(scheme=self.scheme).geturl(), *args, **options)


class EarthdataSession(PatientSession):
    """Session that logs in to Earthdata when it is sent there; it tries once, its user has the patience.

    Name and password go to the login host alone, the token to hosts of the archive alone; no other host of
    a redirection sees either. What remains of a login are cookies in memory.

    Parameters
    ----------
    login : Login
        Where to log in.
    credentials : Credentials
        Empty ones stay anonymous.
    """

    def __init__(self, login: Login, credentials: Credentials) -> None:
        super().__init__(Patience(attempts=1))
        self.login, self.credentials = login, credentials
        self.auth = self._authorise

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        """Decide anew after each redirection who is told what."""
        self._authorise(prepared_request)

    def _authorise(self, request: Any) -> Any:
        request.headers.pop("Authorization", None)
        known = self.credentials
        if known.token and self.login.trusts(request.url):
            request.headers["Authorization"] = f"Bearer {known.token}"
        elif known.username and self.login.is_at(request.url):
            pair = b64encode(f"{known.username}:{known.password}".encode()).decode()
            request.headers["Authorization"] = f"Basic {pair}"
        return request


@dataclass(frozen=True, repr=False)
class Place:
    """Where a file really lies, for the moment.

    Attributes
    ----------
    address : str
        The last one of all redirections; it may be signed, so it is a secret.
    headers : dict of str to str
        What has to be sent along.
    size : int
        Bytes of the file; 0 if unknown.
    """

    address: str
    headers: dict[str, str]
    size: int


def locate(address: str, login: Login) -> Place:
    """Follow the redirections of a file of the archive, logging in if need be.

    Raises
    ------
    AccessError
        Credentials are missing or wrong.
    UnavailableError
        The archive does not answer.
    SourceError
        There is no such file.
    """
    session = _session(login, find_credentials(login))
    with session.get(address, headers={"Range": "bytes=0-0"}, stream=True) as response:
        _check(response, address, session)
        sent = response.request.headers
        headers = {name: str(sent[name]) for name in ("Authorization", "Cookie") if name in sent}
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
        return Place(response.url, headers, int(size) if size.isdigit() else 0)


@lru_cache(maxsize=8)
def _session(login: Login, credentials: Credentials) -> EarthdataSession:
    """One session per process and login: its cookies spare the next ones the way to the login host."""
    return EarthdataSession(login, credentials)


def _check(response: requests.Response, address: str, session: EarthdataSession) -> None:
    """Refuse everything that is no file."""
    name, status = address.rpartition("/")[2], response.status_code
    page = response.headers.get("Content-Type", "").startswith("text/html")
    if status in (401, 403) or page or session.login.is_at(response.url):
        raise AccessError(session.login.refusal(session.credentials, name, status))
    if status not in (200, 206):
        raise error_for(status, name)
