"""Where a result comes from: kept in every file that is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from terradelta.errors import InputError

__all__ = ["Provenance", "flatten"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("terradelta")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class Provenance:
    """Tool, method, settings and inputs of a result.

    Attributes
    ----------
    tool_version : str
        Version of terradelta.
    method : str
        Name of the method, e.g. ``"robust"``.
    configuration : mapping
        All settings; nested mappings are shown with dotted keys. Must fit into JSON.
    inputs : sequence of str
        Names of what was read.
    created : str
        ISO 8601 time in UTC.
    acquisitions : sequence of mapping
        One per acquisition used: ``time`` (ISO 8601), ``orbit``, ``platform``.
    notes : mapping
        Dotted key of a setting to (unit, meaning), for the report.

    Examples
    --------
    >>> Provenance(method="robust", configuration={"n": 10}).tags()["TERRADELTA_CONFIGURATION"]
    '{"n": 10}'
    """

    tool_version: str = field(default_factory=_version)
    method: str = ""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    created: str = field(default_factory=_now)
    acquisitions: Sequence[Mapping[str, Any]] = ()
    notes: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def tags(self) -> dict[str, str]:
        """Give the tags that every raster carries.

        Returns
        -------
        dict of str
            Names and values of GDAL metadata items.

        Raises
        ------
        InputError
            A setting that cannot be written as JSON.
        """
        try:
            configuration = json.dumps(self.configuration, sort_keys=True, default=str)
        except (TypeError, ValueError) as error:
            raise InputError(f"the configuration cannot be written as JSON: {error}") from error
        return {
            "TIFFTAG_SOFTWARE": f"terradelta {self.tool_version}",
            "TERRADELTA_VERSION": self.tool_version,
            "TERRADELTA_METHOD": self.method,
            "TERRADELTA_CONFIGURATION": configuration,
            "TERRADELTA_INPUTS": json.dumps([str(item) for item in self.inputs]),
            "TERRADELTA_CREATED": self.created,
        }

    def times(self) -> list[str]:
        """Give the distinct days of the acquisitions in order, as ISO dates.

        Examples
        --------
        >>> Provenance(acquisitions=[{"time": "2020-02-01T05:00:00"}]).times()
        ['2020-02-01']
        """
        return sorted({str(item["time"])[:10] for item in self.acquisitions if item.get("time")})


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give nested settings as one level with dotted keys.

    Parameters
    ----------
    settings : mapping
        Settings, possibly nested.
    prefix : str
        Put before every key.

    Returns
    -------
    dict
        Dotted key to value, in the order given.

    Examples
    --------
    >>> flatten({"a": 1, "b": {"c": 2}})
    {'a': 1, 'b.c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat
