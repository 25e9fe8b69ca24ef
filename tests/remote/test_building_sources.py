"""The command line against servers that want a login: OPERA by `.netrc`, Sentinel Hub by its variables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from asf_server import SECRET as EARTHDATA_SECRET
from asf_server import USER as EARTHDATA_USER
from asf_server import Hosts, serving
from hub_server import SECRET, USER, Hub, Scene, served
from odc.geo.geobox import GeoBox
from opera_samples import GRID as BURSTS
from opera_samples import outline
from opera_samples import synthetic as bursts

from terradelta.cube import check_cube, geobox_of, open_cube
from terradelta.cube.manifest import Manifest
from terradelta.sources.remote import registry
from terradelta.sources.remote.opera import Login, OperaSource
from terradelta.sources.remote.opera import session as sessions
from terradelta.sources.remote.retrying import Patience
from terradelta.sources.remote.sentinel_hub import Deployment, SentinelHubSource
from terradelta.sources.remote.sentinel_hub import Patience as HubPatience

pytest.importorskip("sentinelhub")

HASTY = Patience(attempts=3, first_wait=0.001, longest_wait=0.01)
PLACE = GeoBox.from_bbox((500_000, 4_999_700, 500_400, 5_000_000), "EPSG:32631", resolution=10)
S1 = "S1A_IW_GRDH_1SDV_2020060{day}T173000_2020060{day}T173025_03282{day}_03CD66_1A2B"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in list(os.environ):
        if name.startswith(("EARTHDATA_", "SH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    return tmp_path


@pytest.fixture
def opera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    sessions._session.cache_clear()
    with serving(Hosts()) as hosts:
        login = Login(hosts.addresses["login"], trusted=("127.0.0.1",))
        source = OperaSource(address=hosts.addresses["catalogue"], login=login, patience=HASTY)
        monkeypatch.setitem(registry._NAMED, "opera", lambda: source)
        hosts.granules = bursts("20211201T015900") + bursts("20211213T015900", seed=5)
        yield hosts


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with served(Hub()) as server:
        place = Deployment("sentinel-hub", server.url, f"{server.url}/auth/token", "CLM")
        quick = HubPatience(attempts=2, pause=0.01, timeout=5, longest_wait=1)
        monkeypatch.setitem(registry._NAMED, "sentinel-hub", lambda: SentinelHubSource(place, patience=quick))
        power = np.random.default_rng(1).gamma(4, 0.02, (2, *PLACE.shape)).astype("f4") + np.float32(1e-6)
        told = {
            "platform": "sentinel-1a", "sar:instrument_mode": "IW", "s1:resolution": "HIGH",
            "sat:orbit_state": "ascending", "s1:polarization": "DV",
        }  # fmt: skip
        server.scenes = [
            Scene("sentinel-1-grd", S1.format(day=day), f"2020-06-0{day}T17:30:00Z", PLACE,
                  {"VV": power[0] * day, "VH": power[1] * day}, properties=told)
            for day in (1, 7)
        ]  # fmt: skip
        yield server


def geojson(folder: Path, grid: GeoBox) -> Path:
    file = folder / "aoi.geojson"
    file.write_text(json.dumps(shapely.geometry.mapping(outline(grid))))
    return file


def test_bursts_come_by_netrc_and_are_merged(cli: Any, opera: Hosts, tmp_path: Path) -> None:
    cube, place = tmp_path / "a.zarr", geojson(tmp_path, BURSTS[5:80, 8:100])
    asked = ("cube", "build", place, "--time", "2021", "--source", "opera", "--resolution", 30, "-o", cube)
    assert "EARTHDATA_TOKEN" in cli(*asked, code=2)
    assert not cube.exists()
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password wrong\n")
    text = cli(*asked, code=2)
    assert "wrong" not in text.replace("are wrong", "")
    sessions._session.cache_clear()
    netrc = f"machine 127.0.0.1 login {EARTHDATA_USER} password {EARTHDATA_SECRET}\n"
    (tmp_path / "netrc").write_text(netrc)
    assert "2 images added" in cli(*asked)
    assert check_cube(cube) == []
    tree = open_cube(cube)["sar"]
    source = registry.open_source("opera")
    from terradelta.workflows.building.request import Request

    request = Request.from_document(Manifest(cube).last_request)
    for index, offer in enumerate(source.search(request.query()).offers):
        truth = offer.load(geobox_of(open_cube(cube))).backscatter.compute()
        np.testing.assert_array_equal(tree.backscatter.values[index], truth)
    assert set(tree.radiometry.values) == {"gamma0-rtc"}
    assert {"heading", "incidence_angle"} <= set(tree.estimated.values[0].split(","))
    assert EARTHDATA_SECRET not in (cube / "manifest" / "zarr.json").read_text()


def test_sentinel_hub_with_right_and_wrong_credentials(
    cli: Any, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube, place = tmp_path / "a.zarr", geojson(tmp_path, PLACE[2:28, 3:37])
    asked = ("cube", "build", place, "--time", "2020-06", "--source", "sentinel-hub", "-o", cube,
             "--products", "sentinel-1-grd")  # fmt: skip
    assert "SH_CLIENT_ID" in cli(*asked, code=2)
    monkeypatch.setenv("SH_CLIENT_ID", USER)
    monkeypatch.setenv("SH_CLIENT_SECRET", "not-the-right-one")
    assert "not-the-right-one" not in cli(*asked, code=2)
    assert not cube.exists()
    monkeypatch.setenv("SH_CLIENT_SECRET", SECRET)
    assert "2 images added" in cli(*asked)
    tree = open_cube(cube)["sar"]
    left, top = (round(edge) for edge in ~PLACE.affine @ (float(tree.x[0]) - 5, float(tree.y[0]) + 5))
    part = (slice(top, top + tree.sizes["y"]), slice(left, left + tree.sizes["x"]))
    for index, scene in enumerate(hub.scenes):
        np.testing.assert_array_equal(tree.backscatter.values[index, 0], scene.bands["VV"][part])
    assert SECRET not in (cube / "manifest" / "zarr.json").read_text()
    assert "0 images added, 2 there already" in cli("cube", "update", cube, "--until", "2020-06")
