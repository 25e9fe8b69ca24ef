"""Sessions with Sentinel Hub through sentinelhub-py: who asks, how often, and what an error means."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from terradelta.errors import AccessError, SourceError, TerradeltaError, UnavailableError
from terradelta.sources.grids import Bounds
from terradelta.sources.remote.sentinel_hub.deployments import Deployment, Patience

try:
    from sentinelhub.api.catalog import SentinelHubCatalog
    from sentinelhub.config import SHConfig
    from sentinelhub.constants import CRS, MimeType, RequestType
    from sentinelhub.decoding import decode_sentinelhub_err_msg
    from sentinelhub.download.models import DownloadRequest
    from sentinelhub.download.rate_limit import SentinelHubRateLimit
    from sentinelhub.download.sentinelhub_client import SentinelHubDownloadClient
    from sentinelhub.download.session import SentinelHubSession
    from sentinelhub.exceptions import (
        BaseSentinelHubException,
        DownloadFailedException,
        OutOfRequestsException,
        SHRateLimitWarning,
    )
    from sentinelhub.geometry import BBox
except ImportError as missing:
    raise SourceError(
        f"Sentinel Hub needs {missing.name}; install it with: pip install 'terradelta[sentinelhub]'"
    ) from missing

__all__ = ["Connection", "connect"]

T = TypeVar("T")

MOST_REFUSALS = 20
"""How often a request may be put off (429) before it is given up."""

_VARIABLES = ("SH_CLIENT_ID", "SH_CLIENT_SECRET")
_UNAUTHORISED, _FORBIDDEN, _SERVER = 401, 403, 500
_REFUSED = ("invalid_client", "unauthorized_client", "access_denied", "invalid_grant")

warnings.simplefilter("ignore", SHRateLimitWarning)


def connect(deployment: Deployment, patience: Patience) -> Connection:
    """Give the connection of this process to a deployment, with the credentials of this machine.

    Credentials come from the environment variables ``SH_CLIENT_ID`` and ``SH_CLIENT_SECRET``, else from the
    profile (``SH_PROFILE``, or the default one) of sentinelhub-py's own configuration file, which is read and
    never written.

    Raises
    ------
    AccessError
        There are none.
    """
    config = _configuration(deployment)
    return _connection(deployment, patience, config.sh_client_id, config.sh_client_secret)


def _configuration(deployment: Deployment) -> SHConfig:
    """Credentials as sentinelhub-py finds them, without the file that it would write where there is none."""
    told = {name.lower(): os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    file = Path(SHConfig.get_config_location())
    try:
        enough = len(told) == len(_VARIABLES) or not file.exists()
        config = SHConfig(use_defaults=True, **told) if enough else SHConfig()
    except (KeyError, ValueError, TypeError, OSError):
        raise AccessError(
            f"the profile {os.environ.get('SH_PROFILE', 'default-profile')!r} in {file} cannot be read; "
            "correct SH_PROFILE or the file, or set SH_CLIENT_ID and SH_CLIENT_SECRET"
        ) from None
    if not (config.sh_client_id and config.sh_client_secret):
        raise AccessError(
            f"{deployment.name} needs credentials: set SH_CLIENT_ID and SH_CLIENT_SECRET, or a profile in "
            f"{file} (chosen by SH_PROFILE)"
        )
    return config


@lru_cache(maxsize=8)
def _connection(deployment: Deployment, patience: Patience, user: str, secret: str) -> Connection:
    config = SHConfig(
        use_defaults=True, sh_client_id=user, sh_client_secret=secret, sh_base_url=deployment.url,
        sh_token_url=deployment.token_url, max_download_attempts=patience.attempts,
        download_sleep_time=patience.pause, download_timeout_seconds=patience.timeout,
        max_retries=MOST_REFUSALS,
    )  # fmt: skip
    return Connection(deployment.name, config, patience.longest_wait)


class Connection:
    """A deployment, and who asks it; for many threads at a time.

    Parameters
    ----------
    name : str
        Name for messages.
    config : SHConfig
        Addresses, credentials and limits.
    longest_wait : float
        Seconds that the server may ask to wait.
    """

    def __init__(self, name: str, config: SHConfig, longest_wait: float) -> None:
        self._name, self._config = name, config
        self._limit = _Limit(longest_wait)
        self._session: _Session | None = None
        self._lock = RLock()

    def search(
        self, collection: str, box: Bounds, times: tuple[str, str], conditions: str | None
    ) -> list[dict[str, Any]]:
        """Give the catalogue's entries in a box (degrees) between two times (ISO 8601, UTC), all pages."""

        def ask(session: _Session) -> list[dict[str, Any]]:
            catalog = SentinelHubCatalog(config=self._config)
            catalog.client = self._client(session)
            return list(catalog.search(collection, bbox=BBox(box, CRS.WGS84), time=times, filter=conditions))

        return self._asked("the catalogue", ask)

    def process(self, body: dict[str, Any]) -> bytes:
        """Send a request for an image, and give the bytes of its TIFF."""

        def ask(session: _Session) -> bytes:
            tiff = MimeType.TIFF
            request = DownloadRequest(
                url=f"{self._config.sh_base_url}/api/v1/process", request_type=RequestType.POST,
                post_values=body, data_type=tiff, use_session=True,
                headers={"content-type": MimeType.JSON.get_string(), "accept": tiff.get_string()},
            )  # fmt: skip
            content: bytes = self._client(session).download([request], decode_data=False)[0].content
            return content

        return self._asked("an image", ask)

    def _client(self, session: _Session) -> SentinelHubDownloadClient:
        """Client for one request: they cannot be shared by threads, the limit of the rate can."""
        client = SentinelHubDownloadClient(session=session, config=self._config)
        client.rate_limit = self._limit
        return client

    def _asked(self, what: str, ask: Callable[[_Session], T]) -> T:
        """Ask; a token that the server no longer takes is renewed once."""
        session = self._signed_in()
        try:
            try:
                return ask(session)
            except DownloadFailedException as error:
                if _status(error) != _UNAUTHORISED:
                    raise
            return ask(self._signed_in(instead=session))
        except TerradeltaError:
            raise
        except (BaseSentinelHubException, OSError, ValueError, KeyError) as error:
            raise _explained(error, self._name, what) from None

    def _signed_in(self, instead: _Session | None = None) -> _Session:
        """Session of all threads; a new one in place of `instead`, unless another thread was quicker."""
        with self._lock:
            if self._session is None or self._session is instead:
                self._session = _session(self._config, self._name)
            return self._session


class _Limit(SentinelHubRateLimit):
    """The library's limit of the rate, which gives up where the server asks to wait too long."""

    def __init__(self, longest_wait: float) -> None:
        super().__init__()
        self._longest = longest_wait

    def update(self, headers: Any, *, default: float) -> None:
        """Obey ``Retry-After`` (milliseconds)."""
        seconds = int(headers.get(self.RETRY_HEADER, default)) / 1000
        if seconds > self._longest:
            raise OutOfRequestsException(f"the server asks to wait {seconds:.0f} s")
        super().update(headers, default=default)


class _Session(SentinelHubSession):
    """The library's session, for several threads and with our errors."""

    def __init__(self, config: SHConfig, name: str) -> None:
        self._name, self._lock = name, RLock()
        super().__init__(config)

    @property
    def token(self) -> dict[str, Any]:
        """Token that is still good for a while."""
        with self._lock:
            try:
                token: dict[str, Any] = super().token
            except Exception as error:
                raise _not_signed_in(error, self._name) from None
            return token


def _session(config: SHConfig, name: str) -> _Session:
    try:
        return _Session(config, name)
    except Exception as error:
        raise _not_signed_in(error, name) from None


def _not_signed_in(error: Exception, name: str) -> SourceError:
    """Tell why no token came; nothing of the request is repeated, for it holds the secret."""
    reason = str(getattr(error, "error", ""))
    if reason in _REFUSED or 400 <= _status(error) < _SERVER:
        return AccessError(
            f"{name} refuses the credentials; check SH_CLIENT_ID and SH_CLIENT_SECRET, or the profile of "
            "SH_PROFILE: those of another deployment do not count here"
        )
    why = reason or (f"status {_status(error)}" if _status(error) else type(error).__name__)
    return UnavailableError(f"{name} gives no token ({why}); try again later")


def _status(error: Exception) -> int:
    """Status of the answer that an error is about, 0 for none."""
    answer = getattr(getattr(error, "request_exception", None), "response", None)
    return 0 if answer is None else int(answer.status_code)


def _explained(error: Exception, name: str, what: str) -> SourceError:
    """Our error for one of the library's."""
    status = _status(error)
    if status in (_UNAUTHORISED, _FORBIDDEN):
        return AccessError(
            f"{name} refuses {what} ({status}: {_said(error)}); the account lacks the right to it, or its "
            "processing units are used up"
        )
    if 400 <= status < _SERVER:
        return SourceError(f"{name} refuses {what} ({status}: {_said(error)})")
    if isinstance(error, OutOfRequestsException):
        return UnavailableError(f"{name} is asked too often ({error}); try again later")
    why = f"status {status}: {_said(error)}" if status else _cause(error)
    return UnavailableError(f"{name} does not give {what} ({why}); try again later")


def _cause(error: Exception) -> str:
    return type(getattr(error, "request_exception", None) or error).__name__


def _said(error: Any) -> str:
    """Quote the server in one short line."""
    return " ".join(str(decode_sentinelhub_err_msg(error.request_exception.response)).split())[:200]
