"""Where a database is, in words that never tell its password."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from terradelta.errors import InputError

__all__ = ["VARIABLE", "Address", "read_address"]

VARIABLE = "TERRADELTA_DATABASE"
"""Environment variable with the address."""

_SECRET = ("password", "sslpassword")
_TIMEOUT = 10


@dataclass(frozen=True, repr=False)
class Address:
    """Address of a database.

    Attributes
    ----------
    conninfo : str
        For libpq; may hold a password, so it is never shown.

    Examples
    --------
    >>> Address("postgresql://ana:secret@db.example:5433/land")
    Address(database land on db.example:5433 as ana)
    """

    conninfo: str

    def __repr__(self) -> str:
        return f"Address({self})"

    def __str__(self) -> str:
        given = conninfo_to_dict(self.conninfo)
        service = given.get("service") or os.environ.get("PGSERVICE")
        if service:
            return f"database of the service {service}"
        user = given.get("user") or os.environ.get("PGUSER", "")
        name = given.get("dbname") or os.environ.get("PGDATABASE") or user or "(default)"
        host = given.get("host") or given.get("hostaddr") or os.environ.get("PGHOST", "localhost")
        port = given.get("port") or os.environ.get("PGPORT", "5432")
        return f"database {name} on {host}:{port}" + (f" as {user}" if user else "")

    @property
    def name(self) -> str:
        """Name of the database, as far as it is told."""
        given = conninfo_to_dict(self.conninfo)
        return str(given.get("dbname") or os.environ.get("PGDATABASE") or "NAME")

    def scrub(self, text: str) -> str:
        """Give a text in one line and without the password.

        Parameters
        ----------
        text : str
            For instance a message of libpq.

        Returns
        -------
        str
            The same with ``***`` in place of the password.

        Examples
        --------
        >>> Address("postgresql://ana:secret@db.example/land").scrub("no secret here")
        'no *** here'
        """
        given = conninfo_to_dict(self.conninfo)
        secrets = [str(given[key]) for key in _SECRET if given.get(key)]
        secrets += [os.environ["PGPASSWORD"]] if os.environ.get("PGPASSWORD") else []
        for secret in secrets:
            for form in {secret, quote(secret, safe="")}:
                text = text.replace(form, "***")
        return " ".join(text.split())


def read_address(url: str | None = None) -> Address:
    """Take an address as given, else from the environment.

    Parameters
    ----------
    url : str, optional
        ``postgresql://USER@HOST:PORT/NAME`` or ``key=value`` words; empty: `TERRADELTA_DATABASE`, and what
        that leaves out from libpq's own variables (`PGHOST`, `PGPASSWORD` ...), service and password files.

    Returns
    -------
    Address
        Not yet connected to.

    Raises
    ------
    InputError
        The text is no address; it is not repeated, for it may hold a password.

    Examples
    --------
    >>> read_address("postgresql://ana@db.example/land").name
    'land'
    """
    given = url or os.environ.get(VARIABLE, "")
    try:
        known = conninfo_to_dict(given)
        _require_whole(known)
        known.setdefault("connect_timeout", _TIMEOUT)
        known.setdefault("application_name", "terradelta")
        return Address(make_conninfo("", **known))
    except (psycopg.Error, ValueError):
        raise InputError(
            "the address of the database cannot be read; write it as postgresql://USER@HOST:PORT/NAME "
            f"(option or {VARIABLE}), signs such as @ and / of a password as %40 and %2F"
        ) from None


def _require_whole(known: dict[str, Any]) -> None:
    """Refuse what an unquoted password has torn apart, before its pieces are shown as host or name."""
    if any("@" in str(known.get(part, "")) for part in ("host", "dbname")):
        raise ValueError
    if not str(known.get("port", "0")).replace(",", "").isdigit():
        raise ValueError
