"""When and where an EOPatch was taken: `timestamps.json` and `bbox.geojson`, or what settings say."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.crs import CRS
from pyproj.exceptions import CRSError

from terradelta.errors import SourceError
from terradelta.sources.eopatch.pickles import box_in, times_in_pickle
from terradelta.sources.grids import Bounds, tidy_crs
from terradelta.sources.sidecar import SIDECAR_NAME, Sidecar
from terradelta.sources.times import Time, parse_time

__all__ = ["METADATA", "patch_box", "patch_times"]

_TIMES = ("timestamps.json", "timestamp.json", "timestamps.pkl", "timestamp.pkl")
_BOXES = ("bbox.geojson", "bbox.pkl")
METADATA = tuple(name + packed for name in (*_TIMES, *_BOXES) for packed in ("", ".gz"))
"""Files that tell time and place of an EOPatch."""


def patch_times(patch: Path, settings: Sidecar) -> list[Time]:
    """Give the times of an EOPatch, UTC; empty where it has none.

    Raises
    ------
    SourceError
        They cannot be read without running what a pickle holds, or are no times.
    """
    if settings.times is not None:
        return [_parsed(text, SIDECAR_NAME) for text in settings.times]
    file = _first(patch, _TIMES)
    if file is None:
        return []
    if ".pkl" in file.name:
        return list(_from(file, "times", times_in_pickle))
    texts = _from(file, "times", json.loads)
    if not isinstance(texts, list):
        raise SourceError(f"{_name(file)}: no list of times; say 'times' in {SIDECAR_NAME}")
    return [_parsed(text, _name(file)) for text in texts]


def _parsed(text: Any, where: str) -> Time:
    time = parse_time(str(text))
    if time is None:
        raise SourceError(f"{where}: {text!r} is no time; give ISO 8601 such as 2020-06-01T10:50:31Z")
    return time


def patch_box(patch: Path, settings: Sidecar) -> tuple[Bounds, CRS]:
    """Give the extent of an EOPatch, (left, bottom, right, top), and its CRS.

    Raises
    ------
    SourceError
        Nothing tells them, or they are none.
    """
    file = _first(patch, _BOXES)
    box, crs = settings.bounds, settings.crs
    if file is not None and (box is None or crs is None):
        own_box, own_crs = _from(file, "bounds", box_in if ".pkl" in file.name else _geojson_box)
        box, crs = box or own_box, crs or own_crs
    if box is None or crs is None:
        raise SourceError(
            f"{patch.name}: has no {_BOXES[0]}; say 'bounds: [left, bottom, right, top]' and 'crs' in a "
            f"{SIDECAR_NAME} in it"
        )
    left, bottom, right, top = box
    if not (np.isfinite(box).all() and left < right and bottom < top):
        raise SourceError(
            f"{patch.name}: bounds {box} hold nothing; give [left, bottom, right, top] in {SIDECAR_NAME}"
        )
    try:
        tidy = tidy_crs(crs)
    except CRSError as error:
        raise SourceError(f"{patch.name}: {crs!r} is no CRS; say 'crs' in {SIDECAR_NAME}") from error
    if tidy is None:
        raise SourceError(f"{patch.name}: has no CRS; say 'crs' in {SIDECAR_NAME}")
    return (left, bottom, right, top), tidy


def _geojson_box(content: bytes) -> tuple[Bounds, str]:
    """Extent and CRS of a GeoJSON polygon; EPSG:4326 (longitude first) where it names no CRS."""
    document = json.loads(content)
    corners = np.concatenate([np.asarray(ring, dtype=float)[:, :2] for ring in document["coordinates"]])
    named = (document.get("crs") or {}).get("properties", {}).get("name", "EPSG:4326")
    crs = "EPSG:4326" if str(named).endswith("CRS84") else str(named)
    (left, bottom), (right, top) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return (left, bottom, right, top), crs


def _first(patch: Path, names: Sequence[str]) -> Path | None:
    files = (patch / (name + packed) for name in names for packed in ("", ".gz"))
    return next((file for file in files if file.is_file()), None)


def _from(file: Path, what: str, read: Callable[[bytes], Any]) -> Any:
    """Read a small file; whatever it holds instead of what it should is refused in one line."""
    also = " and 'crs'" if what == "bounds" else ""
    try:
        content = file.read_bytes()
        return read(gzip.decompress(content) if file.suffix == ".gz" else content)
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        zlib.error,
    ) as error:
        kind = "a pickle, which is not run, and" if ".pkl" in file.name else "damaged, or"
        reason = " ".join(str(error).split())
        raise SourceError(
            f"{_name(file)}: {kind} holds no plain {what} ({reason}); say '{what}'{also} in a {SIDECAR_NAME} "
            "beside it"
        ) from error


def _name(file: Path) -> str:
    return "/".join(file.parts[-2:])
