"""What results depend on, and whether these very results are there already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from terradelta.errors import ConflictError
from terradelta.workflows.config import DetectSettings
from terradelta.workflows.detect.seen import fingerprint
from terradelta.workflows.detect.series import OrbitSeries

if TYPE_CHECKING:
    from terradelta.products import Provenance

__all__ = ["changed_keys", "is_complete", "plan_of", "provenance"]

_WHERE = {"cube", "out", "overwrite", "scheduler"}
_HOW = {"workers", "memory", "device"}
_SUMMARY = "summary.json"


def plan_of(settings: DetectSettings, series: Mapping[str, OrbitSeries]) -> dict[str, Any]:
    """Name what the results depend on: settings, cube and acquisitions; in plain values, fit for JSON."""
    told = _told(settings, _WHERE | _HOW)
    images = [image for one in series.values() for image in one.acquisitions()]
    return {**told, "cube": settings.cube.name, "acquisitions": images}


def _told(settings: DetectSettings, without: set[str]) -> dict[str, Any]:
    """Give the settings; a model is known by its weights, wherever it lies."""
    told = settings.model_dump(mode="json", exclude=without)
    if settings.model is not None:
        told["model"] = fingerprint(settings.model)
    return told


def changed_keys(plan: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """List the keys, nested ones with dots, whose values differ from an earlier plan.

    Examples
    --------
    >>> changed_keys({"method": "robust", "robust": {"degree": 2}}, {"robust": {"degree": 1}})
    ['method', 'robust.degree']
    """
    return list(_changed(plan, before, ""))


def _changed(plan: Mapping[str, Any], before: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in plan.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            yield from _changed(value, old, f"{prefix}{key}.")
        elif old != value:
            yield prefix + key


def is_complete(out: Path, plan: Mapping[str, Any]) -> bool:
    """Tell whether the results of a plan are there as a whole.

    Raises
    ------
    ConflictError
        If other results are there.
    """
    try:
        found = json.loads((out / _SUMMARY).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        raise ConflictError(f"{out / _SUMMARY} is damaged; choose another folder, or --overwrite") from None
    inputs = found.get("inputs") or [""]
    before = {**found.get("configuration", {}), "cube": inputs[0], "acquisitions": found.get("acquisitions")}
    changed = changed_keys(plan, before)
    if changed:
        raise ConflictError(
            f"{out} holds results that differ in {', '.join(changed)}; choose another folder, or --overwrite"
        )
    return True


def provenance(settings: DetectSettings, plan: Mapping[str, Any]) -> Provenance:
    """Say where the results come from, such that `is_complete` knows them again."""
    from terradelta.products import Provenance

    return Provenance(
        method=settings.method,
        configuration=_told(settings, _WHERE | {"workers", "device"}),
        inputs=[settings.cube.name, *([settings.model.name] if settings.model else [])],
        acquisitions=plan["acquisitions"],
        notes=dict(_notes(type(settings), "")),
    )


def _notes(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _notes(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, ("", field.description or "")
