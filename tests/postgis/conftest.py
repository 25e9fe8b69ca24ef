from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from server import READER, READER_PASSWORD, MissingError, Server

REQUIRED = "TERRADELTA_REQUIRE_POSTGIS"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server of our own; without the programs the tests are skipped, where they must run they fail."""
    try:
        found = Server()
    except MissingError as reason:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, but: {reason}")
        pytest.skip(str(reason))
    try:
        with psycopg.connect(found.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{READER_PASSWORD}'")
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """Name of a database with all tables and nothing in them."""
    from terradelta.sources.postgis import Database, create_schema

    name = server.make()
    with Database(server.url(name), write=True) as database:
        create_schema(database, reader=READER)
    return name


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the surroundings out."""
    for name in [*os.environ]:
        if name.startswith("PG") or name == "TERRADELTA_DATABASE":
            monkeypatch.delenv(name)


@pytest.fixture
def name(server: Server, template: str) -> Iterator[str]:
    """A fresh database with all tables."""
    made = server.make(template)
    yield made
    server.drop(made)


@pytest.fixture
def url(server: Server, name: str) -> str:
    return server.url(name)


@pytest.fixture
def reader_url(server: Server, name: str) -> str:
    return server.url(name, READER, READER_PASSWORD)
