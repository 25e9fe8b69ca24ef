"""Signed links: tokens for a while, kept in memory alone."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from terradelta.errors import AccessError
from terradelta.sources.remote.retrying import PATIENCE, BusyError, Patience, error_for, retried
from terradelta.sources.remote.stac.profile import Access
from terradelta.sources.times import parse_time

__all__ = ["forget", "require_keys", "signed"]

_MARGIN = 300.0
_tokens: dict[tuple[str, str], tuple[str, float]] = {}
_lock = threading.Lock()


def signed(address: str, collection: str, access: Access, patience: Patience = PATIENCE) -> str:
    """Give the address with which a file may be read for a while.

    Parameters
    ----------
    address : str
        Of the file.
    collection : str
        Its collection.
    access : Access
        How the provider signs.
    patience : Patience
        With the server of tokens.

    Raises
    ------
    AccessError, UnavailableError
        No token.
    """
    if access.signing == "none" or not _is_signed(address, access):
        return address
    with _lock:
        token, until = _tokens.get((access.address, collection), ("", 0.0))
        if time.time() > until - _MARGIN:
            token, until = retried(partial(_ask, access, collection), patience)
            _tokens[access.address, collection] = token, until
    return f"{address}{'&' if '?' in address else '?'}{token}"


def forget(address: str, collection: str, access: Access) -> bool:
    """Drop the token of an address that was refused, unless it is a newer one by now.

    Returns
    -------
    bool
        Whether the address was signed, so that another token may help.
    """
    with _lock:
        token, _ = _tokens.get((access.address, collection), ("", 0.0))
        if token and address.endswith(token):
            del _tokens[access.address, collection]
    return access.signing != "none" and _is_signed(address, access)


def require_keys(address: str, access: Access) -> None:
    """Refuse to read from S3 without keys.

    Raises
    ------
    AccessError
        Names the environment variables that are missing.
    """
    missing = [name for name in access.needs if not os.environ.get(name)]
    if address.startswith("s3://") and missing and not os.environ.get("AWS_PROFILE"):
        name = address.rpartition("/")[2]
        raise AccessError(f"{name}: set {' and '.join(missing)} in the environment ({access.help})")


def _is_signed(address: str, access: Access) -> bool:
    host = urlsplit(address).hostname or ""
    return any(host.endswith(end) for end in access.hosts)


def _ask(access: Access, collection: str) -> tuple[str, float]:
    """Ask for a token and the second of its end."""
    import requests

    key = os.environ.get("PC_SDK_SUBSCRIPTION_KEY", "")
    headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
    what = f"token for {collection}"
    try:
        answer = requests.get(f"{access.address}/{collection}", headers=headers, timeout=(20, 60))
    except requests.RequestException as error:
        raise BusyError(f"{what}: no answer ({type(error).__name__}); try again later") from None
    if not answer.ok:
        raise error_for(answer.status_code, what, answer.headers.get("Retry-After", ""), access=access.help)
    return _understood(answer, what)


def _understood(answer: Any, what: str) -> tuple[str, float]:
    try:
        told = answer.json()
        end = parse_time(str(told["msft:expiry"]))
        token = str(told["token"])
    except (ValueError, KeyError, TypeError):
        raise BusyError(f"{what}: half an answer; try again later") from None
    return token, 0.0 if end is None else end.astype("datetime64[s]").astype(float)
