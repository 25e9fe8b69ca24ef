"""What the products depend on, and whether these very products are there already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.errors import ConflictError, InputError
from terradelta.workflows.config import MonitorSettings

if TYPE_CHECKING:
    import xarray as xr

    from terradelta.products import Provenance
    from terradelta.urban import ERCNN

__all__ = ["Plan", "day_after", "plan_of"]

_WHERE = {"cube", "out", "overwrite", "scheduler", "weights"}
_HOW = {"memory", "device"}
_SUMMARY = "summary.json"


class Plan:
    """Settings, networks and acquisitions that products are made from.

    Parameters
    ----------
    settings : MonitorSettings
        What to do.
    networks : sequence of dict
        File, hash, origin, era and branches of each network.
    acquisitions : sequence of dict
        Time, orbit, platform and source of every image that is read.
    """

    def __init__(
        self,
        settings: MonitorSettings,
        networks: Sequence[Mapping[str, str]],
        acquisitions: Sequence[Mapping[str, str]],
    ) -> None:
        self._settings, self._networks, self._acquisitions = settings, list(networks), list(acquisitions)

    def require_same_settings(self) -> None:
        """Refuse to mix results.

        Raises
        ------
        ConflictError
            If products of other settings, networks or of another cube are there and may not be replaced.
        """
        changed = self._changed()
        if changed and not self._settings.overwrite:
            raise ConflictError(
                f"{self._settings.out} holds results that differ in {', '.join(changed)}; "
                "choose another folder, or --overwrite"
            )

    def is_complete(self, maps: str) -> bool:
        """Tell whether the products of exactly these inputs are there as a whole.

        Parameters
        ----------
        maps : str
            Fingerprint of the window maps.
        """
        found = self._found()
        if found is None or self._changed():
            return False
        told = found.get("configuration", {}).get("maps")
        return told == maps and found.get("acquisitions") == self._acquisitions

    def _changed(self) -> list[str]:
        found = self._found()
        if found is None:
            return []
        told = found.get("configuration", {})
        names = _hashes(told.get("networks", []))
        before = {**told, "networks": names, "cube": (found.get("inputs") or [""])[0]}
        now = self._settings.model_dump(mode="json", exclude=_WHERE | _HOW)
        now |= {"networks": _hashes(self._networks), "cube": self._settings.cube.name}
        return [key for key, value in now.items() if before.get(key) != value]

    def _found(self) -> dict[str, Any] | None:
        """Read the summary of products that are there."""
        path = self._settings.out / _SUMMARY
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError):
            found = None
        if isinstance(found, dict):
            return found
        if self._settings.overwrite:
            return None
        raise ConflictError(f"{path} is damaged; choose another folder, or --overwrite")

    def provenance(self, maps: str) -> Provenance:
        """Say where the products come from, such that `is_complete` knows them again."""
        from terradelta.products import Provenance

        settings = self._settings
        return Provenance(
            method="urban",
            configuration={
                **settings.model_dump(mode="json", exclude=_WHERE),
                "networks": self._networks,
                "maps": maps,
            },
            inputs=[settings.cube.name, *(network["file"] for network in self._networks)],
            acquisitions=self._acquisitions,
            notes={name: ("", field.description or "") for name, field in type(settings).model_fields.items()}
            | {"networks": ("", "Networks: file, SHA-256 of its weights, where they come from."),
               "maps": ("", "Fingerprint of the window maps.")},
        )  # fmt: skip


def _hashes(networks: Sequence[Mapping[str, str]]) -> list[str]:
    return [network.get("sha256", "") for network in networks]


def plan_of(settings: MonitorSettings, nets: Sequence[ERCNN], tree: xr.DataTree) -> Plan:
    """Name what the products depend on; in plain values, fit for JSON."""
    networks = [
        {
            "file": path.name,
            "sha256": _hash(path),
            "origin": net.origin,
            "era": net.era.name,
            "branches": net.branches,
        }
        for path, net in zip(settings.weights, nets, strict=True)
    ]
    read = {group for net in nets for group in ("sar", "optical") if net.branches in ("both", group)}
    return Plan(settings, networks, sorted(_acquisitions(tree, read, settings.end), key=_order))


def _hash(path: Path) -> str:
    from terradelta.urban.model_files import CONFIG, WEIGHTS

    file = path / WEIGHTS if path.is_dir() else path.with_name(WEIGHTS) if path.name == CONFIG else path
    digest = hashlib.sha256()
    try:
        with file.open("rb") as handle:
            while block := handle.read(2**20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}; check the path and its rights") from None
    return digest.hexdigest()


def _acquisitions(tree: xr.DataTree, groups: set[str], end: str | None) -> Iterator[dict[str, str]]:
    """Name every image up to the end; those before the start fill what the first windows do not see."""
    for group in sorted(groups & set(tree.children)):
        coords = tree[group].coords
        times = coords["time"].values
        used = np.ones(len(times), bool) if end is None else times < day_after(end)
        for place in np.flatnonzero(used):
            orbit = "optical"
            if group == "sar":
                direction = coords["orbit_direction"].values[place]
                orbit = f"{int(coords['relative_orbit'][place])} {direction}"
            yield {
                "time": str(times[place])[:19],
                "orbit": orbit.strip(),
                "platform": str(coords["platform"].values[place]),
                "source": str(coords["source_id"].values[place]),
            }


def day_after(date: str) -> np.datetime64:
    """Give the moment at which a day is over.

    Examples
    --------
    >>> day_after("2020-02-29")
    np.datetime64('2020-03-01')
    """
    return np.datetime64(date, "D") + np.timedelta64(1, "D")


def _order(image: Mapping[str, str]) -> tuple[str, str]:
    return image["time"], image["orbit"]
