"""A pool of connections that outlives lost ones, and never shows a password."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool

from terradelta.errors import SourceError
from terradelta.sources.postgis.address import Address, read_address
from terradelta.sources.postgis.problems import connection_problem, is_lost, is_refused, query_problem

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SCHEMA", "Connection", "Database"]

SCHEMA = "terradelta"
"""Schema that holds all tables, unless another one is named."""

_LOG = logging.getLogger(__name__)
_WAIT = 10.0

Connection = psycopg.Connection[Any]
Result = TypeVar("Result")


class Database:
    """A database, connected to when it is first needed; safe to hand to other processes.

    Parameters
    ----------
    url : str, optional
        ``postgresql://USER@HOST:PORT/NAME``; empty: `TERRADELTA_DATABASE`, then libpq's own variables.
    schema : str
        Schema of the tables.
    write : bool
        False: every transaction is read-only, whatever the role may do.
    connections : int
        Most connections at a time.
    attempts : int
        How often work is tried whose connection is lost.
    pause : float
        Seconds before the second attempt; doubled before each further one.

    Raises
    ------
    InputError
        The address cannot be read.

    Examples
    --------
    >>> Database("postgresql://ana:secret@db.example/land")
    Database(database land on db.example:5432 as ana, schema terradelta)
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        schema: str = SCHEMA,
        write: bool = False,
        connections: int = 4,
        attempts: int = 6,
        pause: float = 0.5,
    ) -> None:
        self.address: Address = read_address(url)
        self.schema, self.write = schema, write
        self._connections, self._attempts, self._pause = connections, attempts, pause
        self._pool: ConnectionPool[Connection] | None = None
        self._owner = 0
        self._reached = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Database({self.address}, schema {self.schema})"

    def __getstate__(self) -> dict[str, Any]:
        state = {key: value for key, value in self.__dict__.items() if key != "_lock"}
        return {**state, "_pool": None, "_owner": 0, "_reached": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back; the next use opens new ones."""
        pool, self._pool, self._reached = self._pool, None, False
        if pool is not None and self._owner == os.getpid():
            pool.close()

    def table(self, name: str) -> sql.Identifier:
        """Name a table within the schema, quoted.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        psycopg.sql.Identifier
            For ``psycopg.sql.SQL.format``.

        Examples
        --------
        >>> Database("", schema='a"b').table("radar").as_string(None)
        '"a""b"."radar"'
        """
        return sql.Identifier(self.schema, name)

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do something in one transaction, again from its start if the connection is lost.

        Parameters
        ----------
        work : callable
            Takes the connection; what it did is committed when it returns.

        Returns
        -------
        object
            What `work` returns.

        Raises
        ------
        SourceError, StorageError
            The database is not there, refuses, or was lost again and again.
        """
        pause = self._pause
        for left in reversed(range(self._attempts)):
            try:
                return self._once(work)
            except _LostError as lost:
                if not left:
                    raise SourceError(
                        f"the connection to the {self.address} was lost {self._attempts} times "
                        f"({lost}); when the server is back, the same command goes on where it stopped"
                    ) from None
                _LOG.warning(
                    "the connection to the %s is lost (%s); next attempt in %g s", self.address, lost, pause
                )
            time.sleep(pause)
            pause *= 2
        raise SourceError(f"no attempt was allowed to reach the {self.address}; give attempts >= 1")

    def _once(self, work: Callable[[Connection], Result]) -> Result:
        with self._lock:
            pool = self._open_pool()
        broken = False
        try:
            with pool.connection() as connection:
                try:
                    return work(connection)
                finally:
                    broken = connection.broken
        except psycopg.Error as error:
            if is_lost(error, broken=broken):
                self._reached = False
                raise _LostError(self.address.scrub(str(error))) from None
            raise query_problem(self.address, error) from None

    def _open_pool(self) -> ConnectionPool[Connection]:
        """Give the pool of this process; a first connection tells what is wrong, where a pool only waits."""
        if self._pool is not None and self._owner != os.getpid():
            self._pool, self._reached = None, False
        known = self._pool is not None
        if not self._reached:
            try:
                psycopg.connect(self.address.conninfo).close()
            except psycopg.Error as error:
                if known and not is_refused(error):
                    raise _LostError(self.address.scrub(str(error))) from None
                raise connection_problem(self.address, error) from None
            self._reached = True
        if self._pool is None:
            self._owner = os.getpid()
            self._pool = ConnectionPool(
                self.address.conninfo,
                min_size=0,
                max_size=self._connections,
                timeout=_WAIT,
                configure=self._configure,
                check=ConnectionPool.check_connection,
                name="terradelta",
                open=True,
            )
        return self._pool

    def _configure(self, connection: Connection) -> None:
        connection.execute("SET jit = off")  # compiling costs more than it gains for these statements
        connection.commit()
        connection.read_only = not self.write


class _LostError(Exception):
    """The connection went away; the same work may go well on another one."""
