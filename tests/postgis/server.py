"""A PostgreSQL server with PostGIS for the tests alone: own folder, own port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

OWNER, PASSWORD = "maker", "p@ss/wörd of maker"
READER, READER_PASSWORD = "reader", "only:reads"


class MissingError(Exception):
    """The programs are not installed."""


class Server:
    """A running server; databases are made from a template that has the extensions."""

    def __init__(self) -> None:
        self.programs = _programs()
        self._as = _as_ordinary_user()
        self.folder = Path(tempfile.mkdtemp(prefix="terradelta-pg-", dir="/tmp" if self._as else None))
        self.port = _free_port()
        self._made = 0
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        word = self.folder / "password"
        word.write_text(PASSWORD, encoding="utf-8")
        if self._as:
            shutil.chown(self.folder, "postgres")
            shutil.chown(word, "postgres")
        self._run("initdb", "-U", OWNER, "--auth=scram-sha-256", f"--pwfile={word}", "-E", "UTF8",
                  "--locale=C", "--no-sync")  # fmt: skip
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-w", "-t", "60", "-l", str(self.folder / "log"), "-o", options, "start")

    def halt(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self.programs / program), "-D", str(self.data), *arguments]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        # no pipes: the server would hold them open
        with (self.folder / "out").open("a") as out:
            subprocess.run(command, check=True, stdout=out, stderr=out, cwd="/", env=clean)

    def url(self, name: str, user: str = OWNER, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{name}"

    def make(self, template: str = "template0") -> str:
        """Make a database and give its name."""
        import psycopg

        self._made += 1
        name = f"place_{self._made}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _programs() -> Path:
    control = sorted(Path("/usr/share/postgresql").glob("*/extension/postgis_raster.control"))
    for file in reversed(control):
        folder = Path("/usr/lib/postgresql") / file.parts[-3] / "bin"
        if (folder / "initdb").exists():
            return folder
    raise MissingError("no PostgreSQL server with PostGIS; on Debian: apt-get install postgresql-postgis")


def _as_ordinary_user() -> list[str]:
    """How to run the server's programs, which refuse root."""
    if os.geteuid():
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise MissingError("root may not run a server, and there is no user postgres") from None
    return ["runuser", "-u", "postgres", "--"]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
