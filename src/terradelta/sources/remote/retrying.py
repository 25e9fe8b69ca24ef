"""Patience with servers: the same call again, later and later, as long as that may help."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from terradelta.errors import AccessError, InputError, SourceError, UnavailableError

__all__ = ["PATIENCE", "BusyError", "Patience", "error_for", "retried", "seconds_to_wait"]

Result = TypeVar("Result")


class BusyError(UnavailableError):
    """A server that says when to come back.

    Parameters
    ----------
    message : str
        What happened, and what to do.
    retry_after : float
        Seconds that the server asks to wait; 0 if it says nothing.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Patience:
    """How often and how long to try.

    Attributes
    ----------
    attempts : int
        Tries at most, the first one included.
    first_wait : float
        Seconds between the first two tries; doubled each time, plus up to a quarter by chance.
    longest_wait : float
        Seconds between two tries at most. A server that asks for more is not asked again.
    """

    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0


PATIENCE = Patience()
"""What servers get unless told otherwise: five tries, at most two minutes."""


def retried(
    call: Callable[[], Result], patience: Patience = PATIENCE, *, sleep: Callable[[float], Any] = time.sleep
) -> Result:
    """Call something until it does not raise `UnavailableError` any more.

    Parameters
    ----------
    call : callable
        Raises `UnavailableError` where trying again may help; any other error ends it at once. A
        `retry_after` of the error (see :class:`BusyError`) is waited for.
    patience : Patience
        Limits.
    sleep : callable
        Waits some seconds.

    Returns
    -------
    object
        What the call returns.

    Raises
    ------
    UnavailableError
        That of the last try.

    Examples
    --------
    >>> answers = iter([0, 0, 7])
    >>> def call():
    ...     return 7 // next(answers)
    >>> def busy():
    ...     try:
    ...         return call()
    ...     except ZeroDivisionError:
    ...         raise BusyError("busy", retry_after=2) from None
    >>> waits = []
    >>> retried(busy, sleep=waits.append), waits
    (1, [2.0, 2.0])
    """
    try:
        import tenacity
    except ImportError as error:
        raise InputError(
            "catalogues need tenacity; install it with: pip install 'terradelta[stac]'"
        ) from error

    def wait(state: tenacity.RetryCallState) -> float:
        grown = patience.first_wait * (2.0 ** (state.attempt_number - 1) + random.uniform(0, 0.25))
        return _asked_for(state) or min(grown, patience.longest_wait)

    def too_long(state: tenacity.RetryCallState) -> bool:
        return _asked_for(state) > patience.longest_wait

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(UnavailableError),
        stop=lambda state: state.attempt_number >= patience.attempts or too_long(state),
        wait=wait, sleep=sleep, reraise=True,
    )(call)  # fmt: skip


def _asked_for(state: Any) -> float:
    """Seconds that the server asked for."""
    error = state.outcome.exception() if state.outcome else None
    return float(getattr(error, "retry_after", 0.0))


def error_for(status: int, what: str, retry_after: str = "", *, access: str = "") -> SourceError:
    """Give the error that an HTTP status means.

    Parameters
    ----------
    status : int
        Status of the answer, not a good one.
    what : str
        What was asked for, without secrets.
    retry_after : str
        Header of that name.
    access : str
        What to do where credentials are missing or wrong.

    Examples
    --------
    >>> error_for(503, "B02.tif"), error_for(404, "B02.tif")
    (BusyError('B02.tif: the server answers 503; try again later'),
     SourceError('B02.tif: the server answers 404; it is not there, or not any more'))
    """
    if status in (401, 403):
        cure = access or "it needs credentials, or other ones"
        return AccessError(f"{what}: the server answers {status}; {cure}")
    if status in (408, 425, 429) or status >= 500:
        return BusyError(
            f"{what}: the server answers {status}; try again later", seconds_to_wait(retry_after)
        )
    if status in (404, 410):
        return SourceError(f"{what}: the server answers {status}; it is not there, or not any more")
    return SourceError(f"{what}: the server answers {status}; check the address and the request")


def seconds_to_wait(retry_after: str) -> float:
    """Seconds that a header Retry-After asks for, in seconds or as a date; 0 if it says nothing.

    Examples
    --------
    >>> seconds_to_wait("120"), seconds_to_wait("Wed, 21 Oct 2015 07:28:00 GMT"), seconds_to_wait("")
    (120.0, 0.0, 0.0)
    """
    text = retry_after.strip()
    if text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
