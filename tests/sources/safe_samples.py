"""Small SAFE products of a known geometry, with tables that a few lines of code can repeat."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning

NAME = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8"
TO_MAP = Affine(10, 2, 500_000, 2, -10, 5_000_000)
"""From pixel and line (middles) to UTM 31N: tilted, pixels of 10.2 m."""

_MANIFEST = """<?xml version="1.0"?>
<XFDU xmlns:safe="http://www.esa.int/safe/sentinel-1.0" xmlns:s1="http://x/s1" xmlns:gml="http://x/gml">
<safe:processing><safe:facility site="Nowhere"><safe:software version="{ipf}"/></safe:facility>
</safe:processing>
<safe:platform><safe:familyName>SENTINEL-1</safe:familyName><safe:number>{letter}</safe:number>
<s1:instrumentMode><s1:mode>IW</s1:mode></s1:instrumentMode></safe:platform>
<safe:orbitReference><safe:orbitNumber>39156</safe:orbitNumber>
<safe:relativeOrbitNumber>59</safe:relativeOrbitNumber>
<s1:orbitProperties><s1:pass>ASCENDING</s1:pass></s1:orbitProperties></safe:orbitReference>
<s1:standAloneProductInformation><s1:productType>GRD</s1:productType></s1:standAloneProductInformation>
<safe:acquisitionPeriod><safe:startTime>2021-08-09T17:39:53.153776</safe:startTime>
<safe:stopTime>2021-08-09T17:40:18.152800</safe:stopTime></safe:acquisitionPeriod>
<safe:footPrint><gml:coordinates>45.1,3.0 45.2,3.1</gml:coordinates></safe:footPrint></XFDU>"""

_POINT = (
    "<geolocationGridPoint><line>{0:.0f}</line><pixel>{1:.0f}</pixel><longitude>{2!r}</longitude>"
    "<latitude>{3!r}</latitude><height>0</height><incidenceAngle>{4!r}</incidenceAngle></geolocationGridPoint>"
)
_ANNOTATION = """<product><generalAnnotation><productInformation><platformHeading>-13.5</platformHeading>
</productInformation></generalAnnotation><imageAnnotation><imageInformation>
<numberOfLines>{lines}</numberOfLines><numberOfSamples>{pixels}</numberOfSamples>
<azimuthPixelSpacing>10.2</azimuthPixelSpacing><rangePixelSpacing>10.2</rangePixelSpacing>
</imageInformation></imageAnnotation><geolocationGridPointList>{points}</geolocationGridPointList></product>"""


def incidence(pixel: float) -> float:
    """Of the samples, by the pixel."""
    return 30.0 + 0.01 * pixel


def make_safe(
    folder: Path, dn: np.ndarray, *, bands: tuple[str, ...] = ("VV",), letter: str = "A", ipf: str = "003.31",
    name: str = NAME, measured: bool = True,
) -> Path:  # fmt: skip
    """Write a product; the numbers of further bands are one more each."""
    path = folder / f"{name.replace('S1A', 'S1' + letter)}.SAFE"
    (path / "annotation" / "calibration").mkdir(parents=True)
    (path / "measurement").mkdir()
    (path / "manifest.safe").write_text(_MANIFEST.format(letter=letter, ipf=ipf))
    for number, band in enumerate(bands):
        stem = f"s1{letter}-iw-grd-{band}-20210809t173953-20210809t174018-039156-049f13-00{number}".lower()
        (path / "annotation" / f"{stem}.xml").write_text(_annotation(dn.shape))
        (path / "annotation/calibration" / f"calibration-{stem}.xml").write_text(_calibration(dn.shape))
        (path / "annotation/calibration" / f"noise-{stem}.xml").write_text(_noise(dn.shape))
        if measured:
            write_dn(path / "measurement" / f"{stem}.tiff", np.where(dn > 0, dn + number, 0))
    return path


def write_dn(path: Path, dn: np.ndarray) -> None:
    """Write a measurement file, which has no place of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=dn.shape[0], width=dn.shape[1], dtype="uint16"
        ) as file:
            file.write(dn.astype("uint16"), 1)


def _annotation(shape: tuple[int, int]) -> str:
    lines, pixels = (np.linspace(0, size - 1, count) for size, count in zip(shape, (4, 5), strict=True))
    to_degrees = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)
    points = []
    for line in np.round(lines):
        for pixel in np.round(pixels):
            place = to_degrees.transform(*(TO_MAP @ (pixel, line)))
            points.append(_POINT.format(line, pixel, *map(float, place), float(incidence(pixel))))
    return _ANNOTATION.format(lines=shape[0], pixels=shape[1], points="".join(points))


def gain(line: float, pixel: float) -> float:
    """Of sigma0: linear in both, so that interpolation is exact; of gamma0 twice as much."""
    return 300.0 + 0.5 * line + 0.25 * pixel


def noise(line: float, pixel: float, columns: int) -> float:
    """Across the flight linear, times a factor along it that differs between the halves."""
    along = 1 + 0.001 * line if pixel < columns // 2 else 2.0
    return (900.0 + 2 * pixel + line) * along


def _text(values: np.ndarray) -> str:
    return " ".join(repr(float(value)) for value in values)


def _calibration(shape: tuple[int, int]) -> str:
    pixels = np.array([0, shape[1] // 3, shape[1] - 1])
    vectors = "".join(
        f"<calibrationVector><line>{line}</line><pixel>{' '.join(map(str, pixels))}</pixel>"
        f"<sigmaNought>{_text(gain(line, pixels))}</sigmaNought>"
        f"<gamma>{_text(2 * gain(line, pixels))}</gamma></calibrationVector>"
        for line in (-5, shape[0] // 2, shape[0] + 5)
    )
    return f"<calibration><calibrationVectorList>{vectors}</calibrationVectorList></calibration>"


def _noise(shape: tuple[int, int]) -> str:
    rows, columns = shape
    pixels = np.array([0, columns // 2, columns - 1])
    across = "".join(
        f"<noiseRangeVector><line>{line}</line><pixel>{' '.join(map(str, pixels))}</pixel>"
        f"<noiseRangeLut>{_text(900.0 + 2 * pixels + line)}</noiseRangeLut></noiseRangeVector>"
        for line in (0, rows - 1)
    )
    lines = np.array([0, rows - 1])
    along = "".join(
        f"<noiseAzimuthVector><swath>{swath}</swath><firstAzimuthLine>0</firstAzimuthLine>"
        f"<firstRangeSample>{first}</firstRangeSample><lastAzimuthLine>{rows - 1}</lastAzimuthLine>"
        f"<lastRangeSample>{last}</lastRangeSample><line>0 {rows - 1}</line>"
        f"<noiseAzimuthLut>{_text(factor)}</noiseAzimuthLut></noiseAzimuthVector>"
        for swath, first, last, factor in (
            ("IW1", 0, columns // 2 - 1, 1 + 0.001 * lines), ("IW2", columns // 2, columns - 1, 2 + 0 * lines)
        )
    )  # fmt: skip
    return f"<noise><noiseRangeVectorList>{across}</noiseRangeVectorList>{along}</noise>"
