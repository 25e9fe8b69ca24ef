from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from stac_queries import GRID, HASTY, as_folder, asked, planetary
from stac_server import (
    WORLDCEREAL,
    Holdings,
    StacServer,
    cog,
    opera_series,
    rtc_item,
    s2_item,
    synthetic,
    worldcereal_series,
)

from terradelta.errors import AccessError, SourceError, UnavailableError
from terradelta.sources import scan
from terradelta.sources.area import Area
from terradelta.sources.layers import Decoding
from terradelta.sources.reading import read_mosaic
from terradelta.sources.remote.offers import LayerOffer, Offer, Period
from terradelta.sources.remote.opening import _failures
from terradelta.sources.remote.retrying import Patience
from terradelta.sources.remote.stac import StacSource, load_profile
from terradelta.sources.remote.stac.joining import join
from terradelta.sources.remote.stac.profile import Access
from terradelta.sources.remote.stac.reading import Asset, ImageReader, Opening, Piece
from terradelta.sources.remote.stac.signing import signed

BANDS = ("B04", "B08")
SHIFTED = GeoBox((70, 90), Affine(10, 0, 500_103.7, 0, -10, 4_999_896.1), "EPSG:32631")
COARSE = GeoBox((30, 40), Affine(25, 0, 500_100, 0, -25, 4_999_900), "EPSG:32631")
NEXT_ZONE = GeoBox((60, 60), Affine(10, 0, 28_800, 0, -10, 5_017_200), "EPSG:32632")
OTHERS = pytest.mark.parametrize(
    "grid", [GRID, GRID[7:90, 20:133], SHIFTED, COARSE, NEXT_ZONE], ids=lambda g: str(g.shape)
)


@pytest.fixture(scope="module")
def held() -> Holdings:
    return synthetic(GRID, dates=1)


@pytest.fixture
def server(held: Holdings) -> Iterator[StacServer]:
    with StacServer(held) as running:
        yield running


def found(server: StacServer, folder: Path, product: str) -> Offer:
    (offer,) = planetary(server, folder).search(asked(products=(product,), bands=BANDS)).offers
    return offer


@OTHERS
def test_radar_slices_equal_the_direct_import(
    server: StacServer, held: Holdings, tmp_path: Path, grid: GeoBox
):
    names = {}
    for name in (name for name in held.files if name.startswith("S1A")):
        item, _, asset = name.rpartition("/")
        names[name] = f"S1A_{item.split('_')[4]}_{asset.removesuffix('.tif').upper()}.tif"
    (direct,) = scan(as_folder(held, tmp_path / "files", names), geobox=grid).sar
    truth = direct.load(grid).backscatter.compute()
    offer = found(server, tmp_path, "sentinel-1-rtc")
    images = offer.read(grid)
    assert 0.9 < np.isfinite(truth).mean() < 1
    np.testing.assert_array_equal(images.values, truth)
    np.testing.assert_array_equal(offer.load(grid).backscatter.compute(), truth)
    assert images.values.dtype == np.float32
    assert images.clear is None


@OTHERS
def test_optical_tiles_equal_the_direct_import(
    server: StacServer, held: Holdings, tmp_path: Path, grid: GeoBox
):
    own = {name.rpartition("/")[2]: name for name in held.files if name.startswith("S2A")}
    names = {own[f"{band}.tif"]: f"T31UDS_20200602T105331_{band}.tif" for band in (*BANDS, "SCL")}
    (direct,) = scan(as_folder(held, tmp_path / "files", names), geobox=grid).optical
    truth = direct.load(grid)
    offer = found(server, tmp_path, "sentinel-2-l2a")
    images = offer.read(grid)
    np.testing.assert_array_equal(images.values, truth.reflectance.compute())
    np.testing.assert_array_equal(images.clear, truth.clear.compute())
    assert 0.1 < images.clear.mean() < 1
    loaded = offer.load(grid)
    np.testing.assert_array_equal(loaded.clear.compute(), images.clear)
    assert (loaded.platform, loaded.offset_applied) == ("S2A", False)


def test_real_series_comes_bit_for_bit(shared: Path):
    import rasterio

    held = opera_series(shared, dates=2)
    with rasterio.open(shared / "data/opera_rtc_s1_t137/T137-292324-IW2_VH.tif") as file:
        stored, grid = file.read(2), GeoBox(file.shape, file.transform, str(file.crs))
    autumn = Period(np.datetime64("2021-11-01", "ns"), np.datetime64("2022-01-01", "ns"))
    query = asked(
        grid, area=Area(grid.geographic_extent.geom), products=("sentinel1-rtc-aws",), period=autumn
    )
    with StacServer(held) as server:
        offers = StacSource(server.address, patience=HASTY).search(query).offers
        values = offers[1].read(grid).values[1]
    np.testing.assert_array_equal(values, np.where(stored == 0, np.nan, stored))


@pytest.mark.parametrize(("shift", "told"), [(0, "02.06"), (0, None), (3.7, "02.06")])
def test_real_optical_series_equals_the_direct_import(
    shared: Path, tmp_path: Path, shift: float, told: str | None
):
    renamed = {} if told else {"s2:product_uri": None}
    held = worldcereal_series(shared, **{"s2:processing_baseline": told}, **renamed)
    grid = GeoBox((40, 50), Affine(10, 0, 501_370 + shift, 0, -10, 5_629_660 - shift), "EPSG:32631")
    direct = scan(shared / WORLDCEREAL, pattern="S2_*", geobox=grid).optical[:6]
    years = Period(np.datetime64("2017-01-01", "ns"), np.datetime64("2019-01-01", "ns"))
    bands = ("B02", "B03", "B04", "B08")
    query = asked(grid, products=("sentinel-2-l2a",), bands=bands, period=years)
    with StacServer(held) as server:
        found = planetary(server, tmp_path).search(query)
        images = [offer.read(grid) for offer in found.offers]
    assert [offer.time for offer in found.offers] == [planned.time for planned in direct]
    for offer, image, planned in zip(found.offers, images, direct, strict=True):
        truth = planned.load(grid)
        places = [truth.bands.index(band) for band in offer.bands]
        np.testing.assert_array_equal(image.values, truth.reflectance.compute()[places])
        np.testing.assert_array_equal(image.clear, truth.clear.compute())
        assert not offer.offset_applied
        why = f"processing baseline {told}" if told else "guessed: acquired before 2022-01-25"
        assert offer.facts["Sentinel-2 offset"] == f"+0 ({why})"
    assert 0.05 < np.mean([image.clear for image in images]) < 0.95
    guesses = "6 items do not tell their processing baseline; the Sentinel-2 offset is guessed by their date"
    assert found.notes == (() if told else (f"planetary-computer: {guesses}",))


def test_no_data_stays_where_it_is(tmp_path: Path):
    held, values = Holdings(), np.full((40, 40), 3000, np.uint16)
    small = GRID[:40, :40]
    values[10:20, 10:20] = 0
    held.add(s2_item("2020-06-02T10:53:31Z"), small, {"B04": values})
    half = GeoBox((40, 40), Affine(10, 0, 500_004.9, 0, -10, 4_999_995.1), "EPSG:32631")
    with StacServer(held) as server:
        query = asked(small, products=("sentinel-2-l2a",), bands=("B04",))
        (offer,) = planetary(server, tmp_path).search(query).offers
        ours = offer.read(half).values[0]
    np.testing.assert_array_equal(np.isnan(ours[:39, :39]), values[:39, :39] == 0)
    assert np.allclose(ours[np.isfinite(ours)], 0.3)


def test_dem_and_land_cover(server: StacServer, held: Holdings, tmp_path: Path):
    layers: tuple[LayerOffer, ...] = (
        planetary(server, tmp_path).search(asked(products=("cop-dem-glo-30", "esa-worldcover"))).layers
    )
    folder = as_folder(held, tmp_path / "files", {"cop-dem-glo-30-2021-04-22/data.tif": "dem.tif"})
    np.testing.assert_array_equal(layers[0].read(SHIFTED), read_mosaic(scan(folder).static, SHIFTED))
    classes = layers[1].read(GRID)
    assert classes.dtype == np.uint8
    assert set(np.unique(classes)) == {10, 20, 50}
    far = GeoBox((5, 5), Affine(10, 0, 400_000, 0, -10, 5_000_000), "EPSG:32631")
    assert not layers[1].read(far).any()
    assert np.isnan(layers[0].read(far)).all()


# what goes wrong


@pytest.mark.parametrize("fault", ["429", "500", "503", "truncated", "short"])
@pytest.mark.parametrize("skipped", [0, 1])
def test_pixels_come_whole_or_not_at_all(
    server: StacServer, held: Holdings, tmp_path: Path, fault: str, skipped: int
):
    offer = found(server, tmp_path, "sentinel-1-rtc")
    server.fault("slow", "vh", times=skipped)
    server.fault(fault, "vh", times=100)
    with pytest.raises(UnavailableError, match=r"vh\.tif: .*try again later"):
        offer.read(GRID)
    server.clear()
    after = offer.read(GRID).values
    with StacServer(held) as fresh:
        offer = found(fresh, tmp_path, "sentinel-1-rtc")
        fresh.fault("slow", "vh", times=skipped)
        fresh.fault(fault, "vh", times=2)
        np.testing.assert_array_equal(offer.read(GRID).values, after)
    with StacServer(held) as sound:
        np.testing.assert_array_equal(found(sound, tmp_path, "sentinel-1-rtc").read(GRID).values, after)


def test_half_a_file_is_never_taken_for_a_whole(held: Holdings, tmp_path: Path):
    half = {name: data[: len(data) * 2 // 3] for name, data in held.files.items()}
    with StacServer(Holdings(held.items, half)) as server:
        offer = found(server, tmp_path, "sentinel-1-rtc")
        with pytest.raises(UnavailableError, match=r"vv\.tif: not all of it came"):
            offer.read(GRID)


def test_slow_answers_end(server: StacServer, tmp_path: Path):
    source = planetary(server, tmp_path, options={"GDAL_HTTP_TIMEOUT": "1"})
    (offer,) = source.search(asked(products=("sentinel-1-rtc",))).offers
    server.fault("slow", "vv", times=100, seconds=1.3)
    one = Patience(attempts=1)
    impatient = ImageReader(offer.read.pieces, Opening(offer.read.opening.access, one))
    with pytest.raises(UnavailableError, match=r"vv\.tif: no answer in time"):
        impatient(GRID)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("missing", SourceError, "answers 404; it is not there"),
        ("no raster", SourceError, "is no raster that can be read"),
        ("403", AccessError, "answers 403; it needs credentials"),
    ],
)
def test_what_no_patience_helps(server: StacServer, tmp_path: Path, fault: str, error: type, words: str):
    offer = found(server, tmp_path, "sentinel-1-rtc")
    server.fault(fault, "vh", times=100)
    with pytest.raises(error, match=rf"vh\.tif: .*{words}") as caught:
        offer.read(GRID)
    assert not isinstance(caught.value, UnavailableError)
    assert "\n" not in str(caught.value)


def test_radar_geometry_is_refused(tmp_path: Path):
    from rasterio.io import MemoryFile

    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=9, width=9, count=1, dtype="uint16") as file:
            file.write(np.ones((9, 9), np.uint16), 1)
        (tmp_path / "grd.tif").write_bytes(memory.read())
    reader = ImageReader((Piece((Asset(str(tmp_path / "grd.tif"), "VV"),)),), Opening())
    with pytest.raises(SourceError, match=r"grd\.tif: is not georeferenced"):
        reader(GRID)


# links that are signed


SIGNED = {"signing": "planetary-computer", "hosts": ["127.0.0.1"]}


def test_links_are_signed_once_an_hour_and_again_if_refused(server: StacServer, tmp_path: Path):
    offer = found_signed(server, tmp_path)
    server.signature = "sig=none-yet"
    assert np.isfinite(offer.read(GRID).values).mean() > 0.9
    offer.read(GRID)
    assert server.tokens == 1
    (other,) = planetary_signed(server, tmp_path).search(asked(products=("cop-dem-glo-30",))).layers
    signed("http://127.0.0.1/x", "cop-dem-glo-30", other.read.opening.access)
    server.signature = "sig=changed"
    assert np.isfinite(other.read(GRID)).all()
    assert server.tokens == 3
    text = f"{offer!r} {offer.facts} {offer.key} {pickle.dumps(offer.read)!r}"
    assert "sig=" not in text


def test_links_that_run_out_while_many_are_read(server: StacServer, tmp_path: Path):
    offer = found_signed(server, tmp_path)
    server.signature = "sig=none-yet"
    truth = offer.read(GRID).values
    for number in range(3):
        server.signature = f"sig=other-{number}"
        for piece in offer.read.pieces:
            for asset in piece.bands:
                _failures[asset.address] += 1
        server.fault("slow", "/token/", seconds=0.2)
        with ThreadPoolExecutor(8) as threads:
            for images in threads.map(lambda _: offer.read(GRID), range(8)):
                np.testing.assert_array_equal(images.values, truth)
    assert server.tokens <= 1 + 3 * 2


def planetary_signed(server: StacServer, folder: Path) -> StacSource:
    return planetary(server, folder, **SIGNED, address=f"{server.root}/token")


def found_signed(server: StacServer, folder: Path) -> Offer:
    (offer,) = planetary_signed(server, folder).search(asked(products=("sentinel-1-rtc",))).offers
    return offer


@pytest.mark.parametrize("fault", ["missing", "503", "403", "no raster", "short", "truncated"])
def test_no_secret_in_errors_and_logs(
    server: StacServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    fault: str,
):
    caplog.set_level("DEBUG")
    offer = found_signed(server, tmp_path)
    server.fault(fault, "/files/", times=400)
    with pytest.raises(SourceError) as caught:
        offer.read(GRID)
    told = f"{caught.value!r} {caught.value.__cause__!r}"
    assert "?" not in told
    assert server.tokens
    assert [record.name for record in caplog.records if record.name.startswith("rasterio")]
    logged = [record.getMessage() for record in caplog.records]
    assert not [text for text in (told, *logged, *capfd.readouterr()) if "sig=" in text]


def test_no_token_is_no_reason_to_go_on(server: StacServer, tmp_path: Path):
    server.fault("503", "/token", times=9)
    with pytest.raises(UnavailableError, match="token for sentinel-1-rtc: the server answers 503"):
        found_signed(server, tmp_path).read(GRID)


def test_s3_without_keys_names_them(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    access: Access = load_profile("copernicus").access
    reader = ImageReader((Piece((Asset("s3://eodata/x/B04_10m.jp2", "B04"),)),), Opening(access))
    with pytest.raises(
        AccessError, match=r"B04_10m\.jp2: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY .*S3 keys"
    ):
        reader(GRID)


def test_s3_with_keys_is_read_and_tried_again(
    server: StacServer, held: Holdings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    host = server.root.removeprefix("http://")
    options = {"AWS_S3_ENDPOINT": host, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE"}
    access = load_profile("copernicus").access.model_copy(update={"options": options})
    name = next(name for name in held.files if name.endswith("B04.tif"))
    asset = Asset(f"s3://files/{name}", "B04")
    reader = ImageReader((Piece((asset,)),), Opening(access, HASTY))
    server.fault("503", "B04", times=2)
    assert np.isfinite(reader(GRID).values).mean() > 0.9
    missing = ImageReader((Piece((Asset("s3://files/none.tif", "B04"),)),), Opening(access, HASTY))
    with pytest.raises(SourceError, match=r"none\.tif: the server answers 404") as caught:
        missing(GRID)
    assert "secret" not in str(caught.value)


# elsewhere and at once


def test_readers_travel_and_work_side_by_side(server: StacServer, tmp_path: Path):
    offer = found(server, tmp_path, "sentinel-1-rtc")
    truth = offer.read(GRID).values
    sent = pickle.loads(pickle.dumps(offer.read))
    parts = [GRID[row : row + 40, column : column + 80] for row in (0, 40, 80) for column in (0, 80)]
    with ThreadPoolExecutor(6) as threads:
        blocks = list(threads.map(lambda part: sent(part).values, parts))
    rows = [np.concatenate(blocks[index : index + 2], axis=2) for index in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(rows, axis=1), truth)


def test_few_requests(server: StacServer, tmp_path: Path):
    offer = found(server, tmp_path, "sentinel-1-rtc")
    before = server.requests
    offer.read(GRID[:20, :20])
    assert server.requests - before <= 2 * 2 * 3
    before = server.requests
    offer.read(GRID[:20, :20])
    assert server.requests == before
    assert not [path for path in server.paths if path.endswith("/")]


def test_first_with_data_wins_whatever_the_order(tmp_path: Path):
    held = Holdings()
    for seconds, value in ((0, 0.2), (25, 0.4)):
        part = GRID[:80] if seconds == 0 else GRID[40:]
        planes = np.full(part.shape, value, np.float32)
        held.add(rtc_item(f"2020-06-01T17:32:{seconds:02d}Z"), part, {"vv": planes, "vh": planes})
    held.items.reverse()
    with StacServer(held) as server:
        offer = found(server, tmp_path, "sentinel-1-rtc")
        values = offer.read(GRID).values[0]
    assert np.unique(values[:80]).tolist() == [np.float32(0.2)]
    assert np.unique(values[80:]).tolist() == [np.float32(0.4)]
    assert join([], "x", Opening(), GRID) == []


def test_a_tile_without_a_mask_is_not_clear_where_others_have_one(tmp_path: Path):
    halves = (GRID[:60], GRID[60:])
    for number, part in enumerate(halves):
        (tmp_path / f"B04_{number}.tif").write_bytes(cog(np.full(part.shape, 2000, "u2"), part))
    (tmp_path / "SCL.tif").write_bytes(cog(np.full(halves[0].shape, 4, "u1"), halves[0]))
    scaled = Decoding(unit="reflectance", scale=1e-4, zero_is_nodata=True)
    bands = [(Asset(str(tmp_path / f"B04_{number}.tif"), "B04", scaled),) for number in (0, 1)]
    masked = Piece(bands[0], Asset(str(tmp_path / "SCL.tif"), "SCL"), (4, 5))
    seen = ImageReader((masked, Piece(bands[1])), Opening())(GRID)
    np.testing.assert_allclose(seen.values, 0.2, rtol=1e-6)
    assert seen.clear is not None and seen.clear[:60].all() and not seen.clear[60:].any()
    assert ImageReader((Piece(bands[0]), Piece(bands[1])), Opening())(GRID).clear is None
