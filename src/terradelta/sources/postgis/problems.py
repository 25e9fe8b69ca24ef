"""Refusals of the database as one clear line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from psycopg import errors as states
from psycopg_pool import PoolTimeout

from terradelta.errors import SourceError, StorageError, TerradeltaError

if TYPE_CHECKING:
    from terradelta.sources.postgis.address import Address

__all__ = ["connection_problem", "is_lost", "is_refused", "query_problem"]

_REFUSED = ("password authentication failed", "no password supplied", "authentication failed")
_SILENT = ("refused", "no such file", "could not translate", "timeout", "timed out", "unreachable", "resolve")
_LOST = (
    states.AdminShutdown,
    states.CrashShutdown,
    states.CannotConnectNow,
    states.ConnectionException,
    states.DeadlockDetected,
    states.IdleInTransactionSessionTimeout,
    states.SerializationFailure,
)


def is_refused(error: psycopg.Error) -> bool:
    """Tell whether trying again is of no use: the server answers and says no.

    Parameters
    ----------
    error : psycopg.Error
        From connecting.

    Returns
    -------
    bool
        True for a wrong password, a missing database or role.
    """
    text = str(error).lower()
    return any(words in text for words in (*_REFUSED, "does not exist", "pg_hba.conf", "permission denied"))


def is_lost(error: psycopg.Error, *, broken: bool) -> bool:
    """Tell whether work failed because the connection went away, so that it may go well the next time.

    Parameters
    ----------
    error : psycopg.Error
        From the work.
    broken : bool
        Whether the connection cannot be used any more.

    Returns
    -------
    bool
        True if trying again makes sense.

    Examples
    --------
    >>> is_lost(states.AdminShutdown("terminated"), broken=True)
    True
    >>> is_lost(states.UndefinedTable("no table"), broken=False)
    False
    """
    if isinstance(error, (*_LOST, PoolTimeout)):
        return True
    return broken and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def connection_problem(address: Address, error: psycopg.Error) -> SourceError:
    """Say why there is no connection, and what to do.

    Parameters
    ----------
    address : Address
        Where to.
    error : psycopg.Error
        From connecting.

    Returns
    -------
    SourceError
        To raise.
    """
    reason = address.scrub(str(error))
    text = reason.lower()
    if any(words in text for words in _REFUSED):
        cure = "check the password in TERRADELTA_DATABASE, PGPASSWORD or ~/.pgpass"
        return SourceError(f"the {address} refuses user or password; {cure}")
    if "database" in text and "does not exist" in text:
        cure = f"make it with `createdb {address.name}`, then `terradelta database create`"
        return SourceError(f"the {address} does not exist; {cure}")
    if "role" in text and "does not exist" in text:
        return SourceError(f"the {address}: the server knows no such role; make it with `createuser`")
    if any(words in text for words in _SILENT):
        return SourceError(
            f"the {address} does not answer ({reason}); start the server, or correct the address"
        )
    return SourceError(f"the {address} cannot be reached: {reason}")


def query_problem(address: Address, error: psycopg.Error) -> TerradeltaError:
    """Say why the database refused a statement, and what to do.

    Parameters
    ----------
    address : Address
        Which database.
    error : psycopg.Error
        From the statement.

    Returns
    -------
    SourceError or StorageError
        To raise.
    """
    reason = address.scrub(error.diag.message_primary or str(error))
    if isinstance(error, states.UndefinedTable | states.InvalidSchemaName | states.UndefinedColumn):
        return SourceError(f"the {address}: {reason}; make it with `terradelta database create`")
    if isinstance(error, states.UndefinedFunction | states.UndefinedObject):
        return SourceError(
            f"the {address}: {reason}; the extensions postgis and postgis_raster make it: "
            "`terradelta database create`"
        )
    if isinstance(error, states.ReadOnlySqlTransaction):
        return SourceError(f"the {address} is read-only: {reason}; connect to the primary server to write")
    if isinstance(error, states.InsufficientPrivilege):
        cure = (
            "the owner grants reading with `terradelta database create --reader ROLE`; only the owner writes"
        )
        return SourceError(f"the {address}: {reason}; {cure}")
    if isinstance(error, states.DiskFull):
        return StorageError(f"the {address} has no room left ({reason}); free some, then run the same again")
    return SourceError(f"the {address} refuses: {reason}")
