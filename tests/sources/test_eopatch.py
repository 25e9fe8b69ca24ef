from __future__ import annotations

import gzip
import json
import os
import pickle
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.cube import check_cube, create_cube, geobox_of, open_cube
from terradelta.errors import ConfigError, SourceError
from terradelta.sources import build_cube, import_into, scan
from terradelta.sources.eopatch import arrays, is_eopatch

BOX = (500_000.0, 5_000_000.0, 500_300.0, 5_000_200.0)
SHAPE = (20, 30)
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
DAYS = ("2020-01-05T10:50:31", "2020-01-10T10:50:29", "2020-01-15T10:50:31")
PACKINGS = (".npy", ".npy.gz", ".zarr2", ".zarr")


def save(path: Path, array: Any, packing: str = ".npy") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if packing.startswith(".zarr"):
        chunks = (1, *array.shape[1:]) if array.ndim == 4 else array.shape
        store = zarr.create_array(
            str(path) + ".zarr", shape=array.shape, dtype=array.dtype, chunks=chunks,
            zarr_format=2 if packing == ".zarr2" else 3,
        )  # fmt: skip
        store[...] = array
    elif packing == ".npy.gz":
        with gzip.open(f"{path}.npy.gz", "wb") as file:
            np.save(file, array)
    else:
        np.save(f"{path}.npy", array)


def write_patch(
    folder: Path, features: Mapping[str, Any], *, times: Sequence[str] = DAYS, box: Any = BOX,
    crs: str = "32631", packing: str = ".npy",
) -> Path:  # fmt: skip
    """EOPatch as eo-learn 1.5 writes it."""
    for name, array in features.items():
        save(folder / name, np.asarray(array), packing)
    left, bottom, right, top = box
    ring = [[left, bottom], [left, top], [right, top], [right, bottom], [left, bottom]]
    document = {
        "crs": {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{crs}"}},
        "type": "Polygon", "coordinates": [ring],
    }  # fmt: skip
    (folder / "bbox.geojson").write_text(json.dumps(document, indent=2))
    (folder / "timestamps.json").write_text(json.dumps(list(times), indent=2))
    return folder


def radar(seed: int = 0, channels: int = 2, shape: Any = SHAPE, times: int = 3) -> np.ndarray:
    power = np.random.default_rng(seed).gamma(4, 0.02, (times, *shape, channels)) + 1e-6
    return power.astype(np.float32)


def numbers(seed: int = 0, channels: int = 13) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 9000, (3, *SHAPE, channels)).astype(np.uint16)


def stored(path: Path, group: str) -> xr.Dataset:
    return open_cube(path)[group].to_dataset().load()


def same(one: xr.Dataset, other: xr.Dataset, *names: str) -> bool:
    return all(
        np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f") for name in names
    )


# what comes into a cube


def test_patch_equals_the_same_pixels_as_geotiff_bit_for_bit(tmp_path: Path, write_tif):
    power, dn, clouds = radar(1), numbers(2), np.random.default_rng(3).integers(0, 2, (3, *SHAPE, 1))
    clouds[2, :4] = 255
    clouds = clouds.astype(np.uint8)
    power[0, :2] = 0
    dn[1, 3:5] = 0
    for number, day in enumerate(DAYS):
        stem = day.replace("-", "").replace(":", "")
        images = {f"S2_{stem}_{band}.tif": dn[number, ..., channel] for channel, band in enumerate(BANDS)}
        images |= {f"S1_ascending_{stem}_{b}.tif": power[number, ..., n] for n, b in enumerate(("VV", "VH"))}
        images |= {f"S2_{stem}_SCL.tif": clouds[number, ..., 0]}
        for name, values in images.items():
            write_tif(tmp_path / "files" / name, values, left=BOX[0], top=BOX[3], step=10)
    build_cube(tmp_path / "files", tmp_path / "files.zarr", sidecar={"clear_values": [0]})
    radars, opticals = (stored(tmp_path / "files.zarr", group) for group in ("sar", "optical"))
    assert np.isnan(radars.backscatter[0, :, :2]).all()
    assert not opticals.clear[2, :4].any()
    assert np.array_equal(opticals.clear[0], clouds[0, ..., 0] == 0)
    for packing in PACKINGS:
        patch, cube = tmp_path / f"patch{packing}_", tmp_path / f"cube{packing}_"
        write_patch(patch, {"data/S2-L1C": dn, "data/S1_ASC": power, "mask/CLM": clouds}, packing=packing)
        report = build_cube(patch, cube)
        assert (report.added, report.failures) == (6, ())
        assert geobox_of(open_cube(cube)) == geobox_of(open_cube(tmp_path / "files.zarr"))
        assert same(stored(cube, "sar"), radars, "backscatter", "time", "orbit_direction", "band")
        assert same(stored(cube, "optical"), opticals, "reflectance", "clear", "time", "band")
    assert check_cube(cube) == []
    again = build_cube(patch, cube)
    assert (again.added, again.skipped) == (0, 6)


def test_patches_of_months_are_joined_in_time_and_neighbours_mosaicked(tmp_path: Path):
    whole = radar(5, shape=(20, 60), times=4)
    months = {
        "2020_01": (DAYS[:2], slice(0, 2)),
        "2020_02": (("2020-02-04T05:50:00", "2020-02-10T05:50:00"), slice(2, 4)),
    }
    for month, (times, part) in months.items():
        for column in range(2):
            left = BOX[0] + 300 * column
            late = [time[:-2] + f"{int(time[-2:]) + 7 * column:02}" for time in times]
            write_patch(
                tmp_path / "S1_DSC" / month / f"eopatch_{column}",
                {"data/BANDS": whole[part, :, 30 * column : 30 * column + 30]},
                times=late, box=(left, BOX[1], left + 300, BOX[3]), packing=PACKINGS[column],
            )  # fmt: skip
    plan = scan(tmp_path)
    assert tuple(plan.geobox.shape) == (20, 60)
    assert [str(one.time)[:19] for one in plan.sar] == [*DAYS[:2], *months["2020_02"][0]]
    assert plan.sar[0].source_id == "S1_DSC/2020_01/eopatch_0 +1"
    build_cube(tmp_path, tmp_path / "c.zarr")
    sar = stored(tmp_path / "c.zarr", "sar")
    assert np.array_equal(sar.backscatter, whole.transpose(0, 3, 1, 2))
    assert set(sar.orbit_direction.values) == {"descending"}


def test_patch_of_the_same_time_and_pixels_counts_once_a_different_one_is_refused(tmp_path: Path):
    power = radar()
    for name in ("a", "b"):
        write_patch(tmp_path / name, {"data/S1": power})
    plan = scan(tmp_path)
    assert len(plan.sar) == 3
    assert any("the same as a/data/S1.npy" in line for line in plan.warnings)
    save(tmp_path / "b" / "data" / "S1", power + np.float32(0.1))
    with pytest.raises(
        SourceError, match=r"a/data/S1.npy and b/data/S1.npy both hold VH of 2020-01-05T10:50:31"
    ):
        scan(tmp_path)


def test_import_onto_another_grid_is_that_of_geotiff(tmp_path: Path, write_tif):
    power = radar(4)
    write_patch(tmp_path / "patch", {"data/VV": power[..., :1], "data/VH": power[..., 1:]}, packing=".npy.gz")
    for number, day in enumerate(DAYS):
        stem = day.replace("-", "").replace(":", "")
        for channel, band in enumerate(("VV", "VH")):
            values = power[number, ..., channel]
            write_tif(tmp_path / "files" / f"S1_{stem}_{band}.tif", values, left=BOX[0], top=BOX[3], step=10)
    grid = GeoBox((14, 13), Affine(17, 0, 500_003, 0, -15, 5_000_190), "EPSG:32631")
    for source, cube in (("patch", "one.zarr"), ("files", "other.zarr")):
        create_cube(tmp_path / cube, grid)
        import_into(tmp_path / cube, tmp_path / source)
    one, other = (stored(tmp_path / name, "sar") for name in ("one.zarr", "other.zarr"))
    assert same(one, other, "backscatter", "time")


def test_layers_without_time_and_folders_of_both_kinds(tmp_path: Path, write_tif):
    dem = np.arange(600, dtype=np.float32).reshape(*SHAPE, 1)
    cover = (np.arange(600) % 7).astype(np.uint8).reshape(*SHAPE, 1)
    for column in range(2):
        box = (BOX[0] + 300 * column, BOX[1], BOX[2] + 300 * column, BOX[3])
        features = {"data_timeless/DEM": dem + column, "mask_timeless/LULC": cover, "data/S1": radar(column)}
        write_patch(tmp_path / f"p{column}", features, box=box)
    (tmp_path / "weather.csv").write_text("date,temperature\n2020-01-01,3.5\n2020-01-02,1.5\n")
    (tmp_path / "terradelta.yaml").write_text("columns: {day: date}\nunits: {temperature: degC}\n")
    report = build_cube(tmp_path, tmp_path / "c.zarr")
    static = open_cube(tmp_path / "c.zarr")["static"].load()
    assert sorted(report.static) == ["dem", "land_cover"]
    assert np.array_equal(static.dem, np.hstack([dem[..., 0], dem[..., 0] + 1]))
    assert np.array_equal(static.land_cover, np.hstack([cover[..., 0]] * 2))
    assert report.weather_days == 2


def test_valid_mask_makes_no_data_of_floats_and_numbers(tmp_path: Path):
    reflectance = (numbers(1) * np.float32(1e-4)).astype(np.float32)
    reflectance[0, 3, 4] = 0.0
    data = np.ones((3, *SHAPE, 1), bool)
    data[:, 5:8] = False
    for name, values in (("float", reflectance), ("whole", numbers(1))):
        write_patch(tmp_path / name, {"data/BANDS": values, "mask/dataMask": data})
        image = scan(tmp_path / name).optical[0].load(scan(tmp_path / name).geobox)
        pixels, clear = image.reflectance.compute(), image.clear.compute()
        assert np.isnan(pixels[:, 5:8]).all()
        assert np.isfinite(np.delete(pixels, slice(5, 8), axis=1)).all()
        assert not clear[5:8].any()
        assert pixels[0, 3, 4] == (0 if name == "float" else np.float32(numbers(1)[0, 3, 4, 0] * 1e-4))


@pytest.mark.parametrize(
    ("name", "values", "clear"),
    [
        ("CLM", (0, 1, 255), (True, False, False)),
        ("CLP", (0, 101, 102), (True, True, False)),
        ("SCL", (4, 8, 6), (True, False, True)),
        ("IS_VALID", (0, 1, 1), (False, True, True)),
    ],
)
def test_masks_known_by_name(tmp_path: Path, name: str, values: Any, clear: Any):
    mask = np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (3, *SHAPE, 1))
    write_patch(tmp_path / "p", {"data/L1C": numbers(), f"mask/{name}": mask})
    plan = scan(tmp_path / "p")
    assert tuple(bool(image.clear.compute()[0, 0]) for image in plan.acquisitions()) == clear


# names and settings


@pytest.mark.parametrize(
    ("place", "channels", "group", "bands", "direction"),
    [
        ("data/S1_DES", 2, "sar", ("VV", "VH"), "descending"),
        ("data/IW-ASC-VV", 1, "sar", ("VV",), "ascending"),
        ("s1_asc/data/BANDS", 2, "sar", ("VV", "VH"), "ascending"),
        ("data/HH", 1, "sar", ("HH",), "descending"),
        ("data/BANDS-S2-L1C", 13, "optical", BANDS, ""),
        ("data/BANDS", 12, "optical", tuple(band for band in BANDS if band != "B10"), ""),
        ("S2A/data/B04", 1, "optical", ("B04",), ""),
        ("ERS2_asc/data/SAR", 1, "sar", ("VV",), "ascending"),
        ("data/LS5", 7, "optical", tuple(f"B{n}" for n in range(1, 8)), ""),
    ],
)
def test_features_are_known_by_their_names(
    tmp_path: Path, place: str, channels: int, group: str, bands: Any, direction: str
):
    *folders, kind, name = place.split("/")
    write_patch(tmp_path.joinpath("in", *folders, "patch_7"), {f"{kind}/{name}": radar(channels=channels)})
    plan = scan(tmp_path / "in")
    (planned,) = {(one.group, one.bands, one.flight.orbit_direction) for one in plan.planned}
    assert planned == (group, bands, direction)
    platform = {"ERS2_asc": "ERS2", "S2A": "S2A", "data": "L5" if name == "LS5" else ""}
    assert plan.planned[0].flight.platform == platform.get(folders[0] if folders else "data", "")


def test_settings_say_what_names_do_not(tmp_path: Path):
    clouds = np.zeros((3, *SHAPE, 1), np.uint8)
    clouds[:, 0] = 7
    features = {
        "data/x": radar(),
        "data/y": numbers(channels=2),
        "mask/z": clouds,
        "data/NDVI": radar(channels=1),
    }
    write_patch(tmp_path / "p", features)
    with pytest.raises(
        SourceError, match=r"data/NDVI: not understood and left out; say 'sensor' and 'bands'"
    ):
        scan(tmp_path / "p")
    settings = {
        "platform": "S1B",
        "relative_orbit": 88,
        "features": {
            "data/x": {"sensor": "sar", "bands": ["VH", "VV"], "orbit_direction": "ascending"},
            "data/y": {
                "sensor": "optical", "bands": ["B04", "B08"], "scale": 0.001, "mask": "mask/z",
                "clear_values": [7], "platform": "S2B",
            },
            "data/N*": {"ignore": True},
        },
    }  # fmt: skip
    (tmp_path / "terradelta.yaml").write_text(yaml.safe_dump(settings))
    plan = scan(tmp_path)
    assert plan.warnings == ()
    flight = plan.sar[0].flight
    assert (flight.platform, flight.relative_orbit, flight.orbit_direction) == ("S1B", 88, "ascending")
    image = plan.sar[1].load(plan.geobox)
    assert (
        image.bands,
        np.array_equal(image.backscatter, features["data/x"][1].transpose(2, 0, 1)[::-1]),
    ) == (("VV", "VH"), True)
    optical = plan.optical[2].load(plan.geobox)
    assert optical.platform == "S2B"
    assert np.array_equal(optical.clear.compute(), clouds[0, ..., 0] == 7)
    wanted = (features["data/y"][2].transpose(2, 0, 1) * 0.001).astype(np.float32)
    assert np.array_equal(optical.reflectance, wanted)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"features": {"data/S1": {"bands": ["VV"]}}}, r"data/S1: 2 channels, but 'bands' .* names 1"),
        ({"features": {"data/S2": {"mask": "mask/none"}}}, r"names 'mask/none', which is not there"),
        ({"features": {"data/S2": {"mask": "data/S1"}}}, r"data/S1: say its 'clear_values' for data/S2"),
        ({"features": {"data/S2": {"valid": "mask/small"}}}, r"mask/small: has the shape .* name one"),
        ({"times": ["2020-01-01"]}, r"3 images, but 1 times"),
        ({"times": ["x", "y", "z"]}, r"terradelta.yaml: 'x' is no time"),
        ({"bounds": [5, 5, 4, 6]}, r"bounds \(5.0, 5.0, 4.0, 6.0\) hold nothing"),
        ({"crs": "EPSG:5"}, r"'EPSG:5' is no CRS"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit(tmp_path: Path, settings: Any, why: str):
    features = {"data/S1": radar(), "data/S2": numbers(), "mask/small": np.ones((3, 10, 15, 1), bool)}
    write_patch(tmp_path / "p", features)
    with pytest.raises(SourceError, match=why):
        scan(tmp_path / "p", sidecar=settings)


def test_misspelt_key_of_a_feature_is_named(tmp_path: Path):
    write_patch(tmp_path / "p", {"data/S1": radar()})
    with pytest.raises(ConfigError, match=r"unknown key 'features.data/S1.masks'; did you mean 'mask'"):
        scan(tmp_path / "p", sidecar={"features": {"data/S1": {"masks": "mask/CLM"}}})


def test_features_of_other_sizes_lie_on_grids_of_their_own(tmp_path: Path):
    fine = numbers(channels=1)
    coarse = fine[:, ::2, ::2] + 1
    write_patch(tmp_path / "p", {"data/B04": fine, "data/B11": coarse})
    plan = scan(tmp_path / "p")
    assert tuple(plan.geobox.shape) == SHAPE
    image = plan.optical[0].load(plan.geobox)
    assert image.bands == ("B04", "B11")
    assert np.isfinite(image.reflectance.compute()).all()


# metadata of old patches


class Box:
    """Stands for the class that old EOPatches pickle."""

    def __init__(self) -> None:
        self.min_x, self.max_x, self.min_y, self.max_y = BOX[0], BOX[2], BOX[1], BOX[3]


def old_patch(folder: Path, times: Any, monkeypatch: pytest.MonkeyPatch, protocol: int) -> Path:
    """Replace the metadata of a patch by pickles as old versions wrote them."""
    write_patch(folder, {"data/S1": radar()})
    geometry, constants = types.ModuleType("sentinelhub.geometry"), types.ModuleType("sentinelhub.constants")
    cls = type("BBox", (Box,), {"__module__": geometry.__name__})
    crs = type(
        "CRS", (), {"__module__": constants.__name__, "__reduce__": lambda self: (type(self), ("32631",))}
    )
    geometry.BBox, constants.CRS = cls, crs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentinelhub", types.ModuleType("sentinelhub"))
    monkeypatch.setitem(sys.modules, "sentinelhub.geometry", geometry)
    monkeypatch.setitem(sys.modules, "sentinelhub.constants", constants)
    box = cls()
    box._crs = crs()
    (folder / "timestamps.json").unlink()
    (folder / "bbox.geojson").unlink()
    (folder / "timestamp.pkl").write_bytes(pickle.dumps(times, protocol=protocol))
    (folder / "bbox.pkl.gz").write_bytes(gzip.compress(pickle.dumps(box, protocol=protocol)))
    return folder


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_pickles_are_taken_apart_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
):
    moments = [datetime.fromisoformat(day).replace(microsecond=123_000) for day in DAYS]
    folder = old_patch(tmp_path / "p", moments, monkeypatch, protocol)
    monkeypatch.delitem(sys.modules, "sentinelhub.geometry")
    monkeypatch.setattr(pickle, "loads", None)
    plan = scan(folder)
    assert [str(one.time)[:23] for one in plan.sar] == [f"{day}.123" for day in DAYS]
    assert (tuple(plan.geobox.shape), str(plan.geobox.crs)) == (SHAPE, "EPSG:32631")
    assert plan.geobox.boundingbox.bbox == BOX


WAS_HERE = Path(tempfile.gettempdir()) / f"was_here_{os.getpid()}"


class Evil:
    """Would write a file if it were unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (WAS_HERE,)


@pytest.mark.parametrize("what", ["evil", "zone", "text", "cut"])
def test_pickles_with_anything_else_are_refused_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    moments = [datetime.fromisoformat(day) for day in DAYS]
    content = {
        "evil": [*moments, Evil()], "zone": [m.replace(tzinfo=UTC) for m in moments], "text": list(DAYS),
    }  # fmt: skip
    folder = old_patch(tmp_path / "p", content.get(what, moments), monkeypatch, 4)
    if what == "cut":
        (folder / "timestamp.pkl").write_bytes((folder / "timestamp.pkl").read_bytes()[:-20])
    with pytest.raises(
        SourceError,
        match=r"^p/timestamp.pkl: a pickle, which is not run, [^\n]*say 'times' in a terradelta.yaml beside",
    ):
        scan(folder)
    assert not WAS_HERE.exists()
    (folder / "bbox.pkl.gz").write_bytes(gzip.compress(pickle.dumps(Evil())))
    (folder / "terradelta.yaml").write_text(
        yaml.safe_dump({"times": [datetime.fromisoformat(d) for d in DAYS]})
    )
    with pytest.raises(SourceError, match=r"p/bbox.pkl.gz: a pickle, .*say 'bounds' and 'crs' in a"):
        scan(tmp_path)
    told = {"times": list(DAYS), "bounds": list(BOX), "crs": "EPSG:32631"}
    (folder / "terradelta.yaml").write_text(yaml.safe_dump(told))
    assert [str(one.time)[:19] for one in scan(tmp_path).sar] == list(DAYS)


# what cannot be read


@pytest.mark.parametrize("packing", PACKINGS)
def test_objects_in_arrays_are_never_unpickled(tmp_path: Path, packing: str):
    folder = write_patch(tmp_path / "p", {"data/S1": radar()}, packing=packing)
    if packing == ".zarr2":
        described = json.loads((folder / "data/S1.zarr/.zarray").read_text())
        described["filters"] = [{"id": "pickle", "protocol": 5}]
        (folder / "data/S1.zarr/.zarray").write_text(json.dumps(described))
    elif packing == ".npy":
        np.save(folder / "data/S1.npy", np.array([[[[Evil()]]]], dtype=object))
    elif packing == ".npy.gz":
        with gzip.open(folder / "data/S1.npy.gz", "wb") as file:
            np.save(file, np.array([[[[Evil()]]]], dtype=object))
    else:
        described = json.loads((folder / "data/S1.zarr/zarr.json").read_text())
        described["codecs"].insert(0, {"name": "numcodecs.pickle", "configuration": {}})
        (folder / "data/S1.zarr/zarr.json").write_text(json.dumps(described))
    with pytest.raises(SourceError, match=r"p/data/S1\.(npy|npy\.gz|zarr): holds (object|pickled objects)"):
        scan(folder)
    assert not WAS_HERE.exists()


@pytest.mark.parametrize("packing", PACKINGS)
def test_damaged_arrays_are_named(tmp_path: Path, packing: str):
    folder = write_patch(tmp_path / "p", {"data/S1": radar()}, packing=packing)
    if packing.startswith(".zarr"):
        chunk = max(
            (folder / "data/S1.zarr").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size
        )
        chunk.write_bytes(chunk.read_bytes()[:500])
    else:
        file = folder / f"data/S1{packing}"
        file.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(SourceError, match=r"^p/data/S1[^\n]*(truncated|damaged)[^\n]*copy it again$"):
        build_cube(folder, tmp_path / "c.zarr")
    report = build_cube(folder, tmp_path / "c.zarr", on_error="skip") if packing != ".npy" else None
    assert report is None or report.failures


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("timestamps.json", '"2020"', "no list of times"),
        ("timestamps.json", "[", "damaged, or holds no plain times"),
        ("timestamps.json", '["noon"]', "'noon' is no time"),
        ("bbox.geojson", "{}", "damaged, or holds no plain bounds"),
        ("bbox.geojson", '{"coordinates": [[[1, "x"]]]}', "damaged, or holds no plain bounds"),
    ],
)
def test_damaged_metadata_is_named(tmp_path: Path, file: str, content: str, why: str):
    folder = write_patch(tmp_path / "p", {"data/S1": radar()})
    (folder / file).write_text(content)
    with pytest.raises(SourceError, match=rf"^p/{file}: [^\n]*{why}"):
        scan(folder)


def test_heights_in_the_bounds_are_no_places(tmp_path: Path):
    patch = write_patch(tmp_path / "patch", {"data/S1": radar()})
    box = json.loads((patch / "bbox.geojson").read_text())
    box["coordinates"] = [[[*corner, 7.0] for corner in box["coordinates"][0]]]
    (patch / "bbox.geojson").write_text(json.dumps(box))
    assert scan(patch).geobox.boundingbox.bbox == BOX


def test_patch_without_bounds_or_with_other_dimensions(tmp_path: Path):
    folder = write_patch(tmp_path / "p", {"data/S1": radar()})
    (folder / "bbox.geojson").unlink()
    with pytest.raises(
        SourceError, match=r"p: has no bbox.geojson; say 'bounds: \[left, bottom, right, top\]'"
    ):
        scan(folder)
    write_patch(tmp_path / "q", {"data/S1": radar()[0]})
    with pytest.raises(SourceError, match=r"q/data/S1: has the shape \(20, 30, 2\); expected time, rows"):
        scan(tmp_path / "q")


def test_other_folders_are_no_patches(tmp_path: Path):
    save(tmp_path / "a" / "data" / "S1", radar())
    assert not is_eopatch(tmp_path / "a")
    assert not is_eopatch(tmp_path / "missing")
    assert is_eopatch(write_patch(tmp_path / "b", {"data/S1": radar()}))
    with pytest.raises(SourceError, match="has no file"):
        scan(tmp_path / "a")


# how arrays are read


def test_packed_arrays_are_unpacked_once_in_the_order_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    power = radar(times=6)
    times = [f"2020-01-{day:02}" for day in range(1, 7)]
    write_patch(tmp_path / "p", {"data/S1": power}, times=times, packing=".npy.gz")
    opened = []
    plain = arrays._opened
    monkeypatch.setattr(arrays, "_opened", lambda path: opened.append(path) or plain(path))
    monkeypatch.setattr(arrays, "_KEPT", 1)
    monkeypatch.setattr(arrays, "_UNPACKED", arrays._Unpacked())
    plan = scan(tmp_path / "p")
    opened.clear()
    images = [image.backscatter.compute() for image in plan.acquisitions()]
    assert np.array_equal(images, power.transpose(0, 3, 1, 2))
    assert len(opened) == 1
    assert len(arrays._UNPACKED.images) == 1


def test_arrays_in_the_order_of_columns(tmp_path: Path):
    power = radar()
    folder = write_patch(tmp_path / "p", {"data/S1": np.asfortranarray(power)}, packing=".npy.gz")
    plan = scan(folder)
    assert np.array_equal(
        [image.backscatter.compute() for image in plan.acquisitions()], power.transpose(0, 3, 1, 2)
    )
