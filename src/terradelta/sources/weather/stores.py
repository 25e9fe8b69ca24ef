"""NetCDF files and Zarr stores, on disk or on a public server."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import xarray as xr

from terradelta.errors import SourceError, UnavailableError
from terradelta.sources.netcdf import open_raw
from terradelta.sources.remote.retrying import error_for, retried

__all__ = ["Store", "is_url", "is_zarr"]

Result = TypeVar("Result")
_MARKS = ("zarr.json", ".zgroup", ".zmetadata")


def is_url(path: str | Path) -> bool:
    """Whether something is an address on a server."""
    return isinstance(path, str) and "://" in path


def is_zarr(path: str | Path) -> bool:
    """Whether something is a Zarr store; every address counts as one."""
    return is_url(path) or (Path(path).is_dir() and any((Path(path) / mark).is_file() for mark in _MARKS))


@dataclass(frozen=True)
class Store:
    """A NetCDF file, or a Zarr store in a folder or at an address.

    Attributes
    ----------
    path : str or pathlib.Path
        Where it is.
    """

    path: str | Path

    @property
    def name(self) -> str:
        """Name for messages."""
        path = urlsplit(str(self.path)).path if is_url(self.path) else str(self.path)
        return Path(path).name or "the store"

    @property
    def stem(self) -> str:
        """Name without its ending."""
        return Path(self.name).stem

    def open(self) -> xr.Dataset:
        """Open it with its stored numbers, times decoded; nothing else is read."""
        if is_zarr(self.path):
            return _zarr(str(self.path))
        return open_raw(Path(self.path))

    def read(self, call: Callable[[], Result]) -> Result:
        """Read something of it; what a server does not give for the moment is asked for again.

        Raises
        ------
        SourceError
            It cannot be read.
        """

        def guarded() -> Result:
            with self._errors():
                return call()

        return retried(guarded) if is_url(self.path) else guarded()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SourceError:
            raise
        except ImportError as error:
            raise SourceError(f"{self.name}: reading from a server needs aiohttp; install it") from error
        except Exception as error:
            raise self._error(error) from (None if is_url(self.path) else error)

    def _error(self, error: Exception) -> SourceError:
        reason = " ".join(str(error).split())[:160]
        calendar = re.search(r"calendar '(\w+)'", reason)
        if calendar:
            return SourceError(
                f"{self.name}: its calendar {calendar[1]!r} has other days; convert it to 'standard'"
            )
        if not is_url(self.path):
            return SourceError(f"{self.name}: cannot be read, truncated or damaged ({reason}); copy it again")
        status = getattr(error, "status", 0)
        if status:
            return error_for(int(status), self.name)
        if isinstance(error, (TimeoutError, ConnectionError)) or type(error).__module__.startswith("aiohttp"):
            return UnavailableError(f"{self.name}: no answer ({type(error).__name__}); try again later")
        return SourceError(
            f"{self.name}: is no Zarr store with consolidated metadata ({type(error).__name__}); "
            "check the address"
        )


@lru_cache(maxsize=4)
def _zarr(path: str) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options: dict[str, Any] = {"mask_and_scale": False, "decode_timedelta": False, "chunks": None}
        return xr.open_dataset(path, engine="zarr", **options)
