"""Quick looks, report and summary."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from matplotlib import image as pictures
from odc.geo.geobox import GeoBox
from pyproj import Geod

import terradelta.products as products
from terradelta.errors import InputError
from terradelta.products.decorations import ground_width, nice_length
from terradelta.products.extras import show_extras
from terradelta.products.layers import LAYERS
from terradelta.products.maps import draw_map
from terradelta.products.preview import Preview, load_preview
from terradelta.products.rasters import write_rasters
from terradelta.products.summary import SUMMARY, Tally

Make = Callable[..., xr.Dataset]


def _colours(png: bytes) -> set[str]:
    pixels = (pictures.imread(BytesIO(png))[..., :3] * 255).round().astype("uint32")
    return {f"#{value:06x}" for value in np.unique(pixels @ np.array([65536, 256, 1], "uint32")).tolist()}


def test_quick_looks_show_the_colours_of_the_table(written: dict[str, Path]) -> None:
    folder = written["utm"]
    expected = {"change", "score", "date", "count", "difference-VV", "difference-VH"}
    assert {path.stem for path in folder.glob("*.png")} == expected
    assert {entry.colour for entry in LAYERS["change"].classes} <= _colours(
        (folder / "change.png").read_bytes()
    )
    dates = _colours((folder / "date.png").read_bytes())
    assert {LAYERS["date"].ramp[0], LAYERS["change"].classes[0].colour} <= dates
    assert LAYERS["count"].ramp[0] in _colours((folder / "count.png").read_bytes())


def test_a_single_changed_pixel_of_a_large_raster_stays_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (1100, 2503)
    grid = GeoBox.from_bbox((0, 0, size[1], size[0]), "EPSG:32631", resolution=1)
    change = np.zeros(size, "uint8")
    change[1099, 2502] = change[513, 7] = 1
    change[:300] = 255
    layers = xr.Dataset({"change": (("y", "x"), change)}).assign_coords(grid_coords(grid))
    write_rasters(layers.odc.assign_crs("EPSG:32631"), tmp_path, {}, Tally(grid))
    read: list[int] = []
    real = rasterio.io.DatasetReader.read

    def counting(self: object, *args: object, **options: object) -> np.ndarray:
        values = real(self, *args, **options)
        read.append(values.size)
        return values

    monkeypatch.setattr("rasterio.open", _opening(rasterio.open, counting))
    preview = load_preview(tmp_path / "change.tif", grid, pixels=500)[0]
    assert max(preview.values.shape) <= 500
    expected = np.full((1104, 2508), -1)
    expected[:1100, :2503] = np.where(change == 255, -1, change.astype(int))
    blocks = expected.reshape(184, 6, 418, 6).max(axis=(1, 3))
    np.testing.assert_array_equal(preview.values, np.where(blocks < 0, np.nan, blocks))
    assert read and max(read) <= 512 * size[1]


def _opening(real: Callable[..., object], read: Callable[..., np.ndarray]) -> Callable[..., object]:
    class Wrapped:
        def __init__(self, file: object) -> None:
            self._file = file

        def __enter__(self) -> Wrapped:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> object:
            return getattr(self._file, name)

        def read(self, *args: object, **options: object) -> np.ndarray:
            return read(self._file, *args, **options)

    return lambda *args, **options: Wrapped(real(*args, **options))


def grid_coords(grid: GeoBox) -> dict[str, np.ndarray]:
    return {name: coordinate.values for name, coordinate in grid.coordinates.items()}


@pytest.mark.parametrize("metres", [0.3, 1, 1.9, 49, 73, 9999, 123456])
def test_nice_lengths(metres: float) -> None:
    length = nice_length(metres)
    assert metres / 2.5 <= length <= metres * (1 + 1e-9)
    assert f"{length:.0e}"[0] in "125"


@pytest.mark.parametrize(
    ("crs", "box"),
    [
        ("EPSG:32631", (500000, 6600000, 510000, 6610000)),
        ("EPSG:4326", (5, 60, 5.1, 60.1)),
        ("EPSG:3857", (500000, 8300000, 510000, 8310000)),
    ],
)
def test_the_scale_bar_measures_the_ground(crs: str, box: tuple[float, ...]) -> None:
    grid = GeoBox.from_bbox(box, crs, shape=(10, 10))
    ends = grid.extent.to_crs("EPSG:4326").boundingbox
    middle = (ends.bottom + ends.top) / 2
    expected = Geod(ellps="WGS84").line_length([ends.left, ends.right], [middle, middle])
    assert ground_width(grid) == pytest.approx(expected, rel=0.02 if crs == "EPSG:32631" else 1e-3)


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("fill", [np.nan, 1.0])
def test_maps_of_nothing_and_of_one_value_can_be_drawn(name: str, fill: float) -> None:
    grid = GeoBox.from_bbox((0, 0, 40, 4000), "EPSG:32631", resolution=20)
    preview = Preview(LAYERS[name], np.full(grid.shape, fill), grid, "dB")
    low, high = preview.limits()
    assert high > low
    assert draw_map(preview, title="A long title " * 20)[:4] == b"\x89PNG"


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.sources += [values["src"] or ""] if "src" in values else []
        self.links += [values["href"] or ""] if "href" in values else []
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def test_the_report_stands_alone_and_tells_it_all(written: dict[str, Path]) -> None:
    text = (written["utm"] / "report.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert all(source.startswith("data:image/") for source in page.sources)
    assert page.links == ["orbit-137-ascending/report.html", "orbit-37-descending/report.html"]
    assert not re.search(r"https?://|<script|@import|url\(", text)
    words = " ".join(" ".join(page.words).split())
    assert "Liège <2020> & more" in words and "<b>bold</b>" in words
    for expected in (
        "13.0 ha", "1.93 %", "EPSG:32631", "150 × 120 pixels of 20 m", "2020-01-13", "2020-06-13",
        "previous images of the same orbit", "threshold.value", "S1A", "terradelta 9.9", "liège.zarr",
        "days since 1970-01-01",
    ):  # fmt: skip
        assert expected in words, expected
    kinds = [source[5 : source.index(";")] for source in page.sources]
    assert kinds == ["image/png"] * 6 + ["image/svg+xml"]
    svg = base64.b64decode(page.sources[-1].split(",")[1])
    assert LAYERS["change"].classes[1].colour.encode() in svg


def test_the_summary_counts_what_is_in_the_rasters(written: dict[str, Path], make: Make) -> None:
    summary = products.read_summary(written["utm"])
    change = summary.change
    assert change is not None
    assert (change.changed_pixels, change.valid_pixels) == (324, 120 * 140)
    assert change.changed_area_m2 == 324 * 400.0
    assert change.changed_share == pytest.approx(324 / (120 * 140))
    dates = {entry.date: entry.pixels for entry in summary.dates}
    assert dates == {"2020-01-13": 95, "2020-01-25": 108, "2020-02-06": 120, "2020-04-06": 1}
    assert sum(entry.area_m2 for entry in summary.dates) == pytest.approx(change.changed_area_m2)
    assert summary.period == ("2020-01-01", "2020-06-13")
    assert summary.parts == ["orbit-137-ascending", "orbit-37-descending"]
    assert {path.name for path in written["utm"].iterdir() if path.is_file()} == set(summary.files)
    orbit = products.read_summary(written["utm"] / "orbit-37-descending")
    assert {item["orbit"] for item in orbit.acquisitions} == {37}
    assert list(orbit.layers) == ["change", "date"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "damaged"), ("{}", "damaged"), (None, "no finished result"), ("newer", "known is 1")],
)
def test_unfinished_damaged_and_newer_summaries_are_told(
    tmp_path: Path, written: dict[str, Path], text: str | None, words: str
) -> None:
    if text == "newer":
        content = json.loads((written["utm"] / SUMMARY).read_text())
        text = json.dumps(content | {"schema_version": 2})
    if text is not None:
        (tmp_path / SUMMARY).write_text(text)
    with pytest.raises(InputError, match=words):
        products.read_summary(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        products.read_summary(tmp_path / "nowhere")


def test_a_tree_and_an_array_are_written_too(tmp_path: Path, make: Make) -> None:
    scene = make()[["change"]]
    tree = xr.DataTree.from_dict({"/combined": scene, "/orbit-9": scene})
    products.write(tree, tmp_path / "tree")
    products.write(xr.DataTree.from_dict({"/": scene, "/orbit-9": scene}), tmp_path / "root")
    assert products.compare(tmp_path / "tree", tmp_path / "root") == []
    products.write(scene["change"], tmp_path / "array")
    assert products.compare(tmp_path / "array", tmp_path / "tree" / "orbit-9")[:1] == [
        "polygons.gpkg: orbit differs in 3 polygons; first in polygon 1: combined and orbit-9"
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("combined", "../up"), "cannot be the name of a folder"),
        (("one", "two"), "no result named 'combined' among one, two"),
        ((), "named datasets"),
    ],
)
def test_names_that_do_not_work(tmp_path: Path, make: Make, names: tuple[str, ...], words: str) -> None:
    scene = make()[["change"]]
    with pytest.raises(InputError, match=words):
        products.write(dict.fromkeys(names, scene), tmp_path / "out")


def _make_extras(folder: Path, polygons: object) -> list[products.Extra]:
    assert (folder / "change.tif").is_file() and len(polygons) == 3  # type: ignore[arg-type]
    for name in ("windows.mp4", "windows.gif", "timelines.csv"):
        (folder / name).write_bytes(name.encode())
    (folder / "overlay.png").write_bytes(b"\x89PNG")
    return [
        products.Extra("overlay.png", "Red <b>over</b> the place", "A caption & more"),
        products.Extra("windows.mp4", "Half-year windows"),
        products.Extra("windows.gif", "The same as GIF", shown=False),
        products.Extra("timelines.csv", "Timelines"),
    ]


def test_extra_files_are_shown_listed_and_described(tmp_path: Path, make: Make) -> None:
    names = ["overlay.png", "windows.mp4", "windows.gif", "timelines.csv"]
    parts = {"combined": make()[["change"]], "orbit-37-descending": make()[["change"]]}
    products.write(parts, tmp_path, add=_make_extras)
    assert set(names) <= set(products.read_summary(tmp_path).files)
    assert all((tmp_path / name).is_file() for name in names)
    assert not {*names} & {path.name for path in (tmp_path / "orbit-37-descending").iterdir()}
    page = _Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert page.sources[0].startswith("data:image/png") and page.sources[1] == "windows.mp4"
    assert page.links[:3] == ["windows.mp4", "windows.gif", "timelines.csv"]
    words = " ".join(page.words)
    assert "Red <b>over</b> the place" in words and "A caption & more" in words
    assets = json.loads((tmp_path / "item.json").read_text())["assets"]
    kinds = {asset["href"]: (asset["type"], asset["title"]) for asset in assets.values()}
    assert kinds["./windows.mp4"] == ("video/mp4", "Half-year windows")
    assert kinds["./windows.gif"][0] == "image/gif" and kinds["./timelines.csv"][0] == "text/csv"
    products.write(make()[["change"]], tmp_path)
    assert not any((tmp_path / name).exists() for name in names)


def test_an_animation_alone_is_played_in_the_page(tmp_path: Path) -> None:
    text = show_extras([products.Extra("windows.gif", "Windows")], tmp_path)
    assert _Page(text).sources == ["windows.gif"] and "More files" not in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.csv", "missing.csv' is missing"),
        ("change.png", "name of another product"),
        ("film.avi", "unknown kind"),
        ("../film.mp4", "is missing"),
    ],
)
def test_extra_files_that_cannot_be_listed(tmp_path: Path, make: Make, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        products.write(make()[["change"]], tmp_path, add=lambda *_: [products.Extra(name, "Film")])
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_described_as_their_file_is(
    tmp_path: Path, make: Make, make_grid: Callable[..., GeoBox]
) -> None:
    scene, box = make(), make_grid()
    scene["date"].attrs["long_name"] = "Middle of the strongest window."
    folder = products.write(scene, tmp_path / "out", title="Strongest")
    date = load_preview(folder / "date.tif", box)[0]
    assert date.description == "Middle of the strongest window."
    assert load_preview(folder / "score.tif", box)[0].description == LAYERS["score"].description
    both = load_preview(folder / "difference.tif", box)
    assert {one.description for one in both} == {LAYERS["difference"].description}
    assert len({one.label for one in both}) == len(both) == 2
    plain = dataclasses.replace(date, description="")
    assert draw_map(date, title="a") != draw_map(plain, title="a")
