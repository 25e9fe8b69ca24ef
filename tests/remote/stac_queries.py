"""Queries over small grids, and the files of a server as a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from affine import Affine
from odc.geo.geobox import GeoBox
from stac_server import Holdings, StacServer

from terradelta.sources.area import Area
from terradelta.sources.remote.offers import Period, Query
from terradelta.sources.remote.retrying import Patience
from terradelta.sources.remote.stac import StacSource, load_profile

GRID = GeoBox((120, 160), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
HASTY = Patience(attempts=3, first_wait=0.01, longest_wait=1.0)


def asked(grid: GeoBox = GRID, **more: Any) -> Query:
    """What lies on a grid in 2020."""
    year = Period(np.datetime64("2020-01-01", "ns"), np.datetime64("2021-01-01", "ns"))
    known = {"area": Area(grid.geographic_extent.geom), "grid": grid, "period": year}
    return Query(**(known | more))


def profile_at(server: StacServer, folder: Path, name: str = "planetary-computer", **access: Any) -> str:
    """Path of a profile like one of the package, for a server of the tests."""
    told = load_profile(name).model_dump(mode="json") | {"address": server.address, "access": access}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(told))
    return str(path)


def planetary(server: StacServer, folder: Path, **access: Any) -> StacSource:
    """A source that knows the products of Planetary Computer."""
    return StacSource(profile_at(server, folder, **access), patience=HASTY)


def as_folder(held: Holdings, folder: Path, names: Mapping[str, str]) -> Path:
    """Write files of a server under names that a scan understands."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, own in names.items():
        (folder / own).write_bytes(held.files[name])
    return folder
