"""Named errors: each says in one line which value is wrong and what cures it."""

from __future__ import annotations

__all__ = [
    "AccessError",
    "ConfigError",
    "ConflictError",
    "CubeError",
    "EmptyError",
    "InputError",
    "LockedError",
    "SourceError",
    "StorageError",
    "TerradeltaError",
    "UnavailableError",
]


class TerradeltaError(Exception):
    """Base of every error that terradelta raises on purpose.

    Attributes
    ----------
    exit_code : int
        What the command line returns for it.
    """

    exit_code = 1


class InputError(TerradeltaError, ValueError):
    """An argument or a file that cannot be used as it is."""

    exit_code = 2


class EmptyError(InputError):
    """An image without a single valid pixel."""


class ConfigError(InputError):
    """A configuration with an unknown key or a value out of range."""


class SourceError(InputError):
    """Foreign data (rasters, NetCDF, tables) that cannot be read as what they should be."""


class AccessError(SourceError):
    """Credentials that a server asks for and that are missing or wrong."""


class UnavailableError(SourceError):
    """A server that does not answer as it should for the moment; the same call later may do."""

    exit_code = 1


class CubeError(InputError):
    """A cube that is missing, damaged, of a newer schema, or lacks what was asked of it."""


class ConflictError(CubeError):
    """Something else is already stored under the same identity."""


class LockedError(CubeError):
    """Another process is writing to the same place."""


class StorageError(InputError):
    """The output cannot be written: no room, no permission."""
