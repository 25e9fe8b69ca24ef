"""What a Sentinel-1 SAFE product says about itself: platform, track, heading, incidence angles."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import SourceError
from terradelta.sources.layers import Flight
from terradelta.sources.safe.archive import MANIFEST, Archive, number, text_of
from terradelta.sources.times import Time, parse_time
from terradelta.types import PathType

__all__ = ["GeolocationGrid", "Image", "SafeProduct", "read_safe"]

_ANNOTATION = re.compile(
    r"annotation/(?P<stem>s1[a-d]-[a-z0-9]+-[a-z]+-(?P<band>vv|vh|hh|hv)-[0-9a-z-]+)\.xml", re.IGNORECASE
)


@dataclass(frozen=True, eq=False)
class GeolocationGrid:
    """Points of an image whose place on the ground is known.

    Attributes
    ----------
    lines, pixels : array (n,), (m,)
        Rows and columns of the image that the points lie on.
    longitude, latitude : array (n, m)
        Degrees; longitudes go on beyond 180 where the image crosses the antimeridian.
    height : array (n, m)
        Metres above the ellipsoid.
    incidence : array (n, m)
        Incidence angle in degrees.
    """

    lines: NDArray[np.float64]
    pixels: NDArray[np.float64]
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    height: NDArray[np.float64]
    incidence: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Image:
    """One polarisation of a product, as its annotation describes it.

    Attributes
    ----------
    band : str
        VV, VH, HH or HV.
    stem : str
        Name of its files without ending.
    shape : tuple of int
        Lines and pixels.
    spacing : tuple of float
        Distance of lines and of pixels in metres.
    heading : float
        Of the platform, in degrees clockwise from north.
    grid : GeolocationGrid
        Where its pixels lie.
    measured : bool
        The file of its pixels is there.
    """

    band: str
    stem: str
    shape: tuple[int, int]
    spacing: tuple[float, float]
    heading: float
    grid: GeolocationGrid
    measured: bool

    @property
    def measurement(self) -> str:
        """Path of its pixels inside the product."""
        return f"measurement/{self.stem}.tiff"


@dataclass(frozen=True, eq=False)
class SafeProduct:
    """A Sentinel-1 product.

    Attributes
    ----------
    archive : Archive
        Its files.
    name : str
        Its name without ending.
    platform : str
        S1A, S1B, ...
    mode, product_type : str
        IW, EW, ...; GRD, SLC, ...
    start, stop : numpy.datetime64
        First and last line, UTC.
    orbit_direction : str
        "ascending" or "descending".
    absolute_orbit, relative_orbit : int
        Numbers of the orbit.
    facility, ipf_version : str
        Who processed it; version of ESA's processor, such as "003.31".
    footprint : tuple of (float, float)
        Longitude and latitude of its corners.
    images : tuple of Image
        Its polarisations, VV before VH; empty where only the manifest is there.
    """

    archive: Archive
    name: str
    platform: str
    mode: str
    product_type: str
    start: Time
    stop: Time
    orbit_direction: str
    absolute_orbit: int
    relative_orbit: int
    facility: str
    ipf_version: str
    footprint: tuple[tuple[float, float], ...]
    images: tuple[Image, ...]

    @property
    def polarisations(self) -> tuple[str, ...]:
        """Names of its bands."""
        return tuple(image.band for image in self.images)

    @property
    def heading(self) -> float:
        """Heading of the platform in degrees clockwise from north; NaN where only the manifest is there."""
        return self.images[0].heading if self.images else math.nan

    @property
    def flight(self) -> Flight:
        """The pass, without an incidence angle, which depends on the place."""
        return Flight(
            platform=self.platform,
            orbit_direction=self.orbit_direction,
            relative_orbit=self.relative_orbit,
            heading=self.heading,
        )

    def image(self, band: str) -> Image:
        """Give one polarisation.

        Raises
        ------
        SourceError
            The product does not have it.
        """
        for image in self.images:
            if image.band == band:
                return image
        there = ", ".join(self.polarisations) or "no annotation"
        raise SourceError(f"{self.name}: has no {band}, but {there}; choose one of its bands")


def read_safe(path: PathType) -> SafeProduct:
    """Read what a Sentinel-1 SAFE product says about itself; its pixels may be missing.

    Parameters
    ----------
    path : path
        Folder of the product, its ``manifest.safe``, or a zip file that holds the folder.

    Returns
    -------
    SafeProduct

    Raises
    ------
    SourceError
        It is no Sentinel-1 SAFE product, or a damaged one.
    """
    path = Path(path)
    path = path.parent if path.name == MANIFEST else path
    if not path.exists():
        raise SourceError(f"{path} does not exist; give the folder or zip file of a SAFE product")
    parts = [path, *(path / part for part in (MANIFEST, "annotation", "measurement"))]
    try:
        return _read(path.absolute(), tuple(part.stat().st_mtime_ns for part in parts if part.exists()))
    except SourceError as error:
        if path.name.split(".")[0] in str(error):
            raise
        raise SourceError(f"{path.name}: {error}") from error


@lru_cache(maxsize=64)
def _read(path: Path, changed: tuple[int, ...]) -> SafeProduct:
    archive = Archive(path)
    manifest = archive.xml(MANIFEST)
    family = text_of(manifest, ".//platform/familyName", "")
    if family.upper() != "SENTINEL-1":
        raise SourceError(f"{path.name}: is no product of Sentinel-1, but of {family!r}; leave it out")
    start, stop = (_time(manifest, f".//acquisitionPeriod/{name}Time") for name in ("start", "stop"))
    facility, version = _processing(manifest)
    return SafeProduct(
        archive=archive,
        name=archive.name,
        platform=f"S1{text_of(manifest, './/platform/number')}",
        mode=text_of(manifest, ".//instrumentMode/mode", ""),
        product_type=text_of(manifest, ".//standAloneProductInformation/productType", ""),
        start=start,
        stop=stop,
        orbit_direction=text_of(manifest, ".//orbitProperties/pass").lower(),
        absolute_orbit=int(number(manifest, ".//orbitReference/orbitNumber")),
        relative_orbit=int(number(manifest, ".//orbitReference/relativeOrbitNumber")),
        facility=facility,
        ipf_version=version,
        footprint=_footprint(text_of(manifest, ".//footPrint/coordinates", "")),
        images=_images(archive),
    )


def _time(manifest: ElementTree.Element, path: str) -> Time:
    text = text_of(manifest, path)
    time = parse_time(text)
    if time is None:
        raise SourceError(f"{path} is {text!r}, no time; this is no Sentinel-1 SAFE product")
    return time


def _processing(manifest: ElementTree.Element) -> tuple[str, str]:
    """Facility and version of the processor, of the last step of processing."""
    facility = manifest.find(".//{*}processing/{*}facility")
    software = manifest.find(".//{*}processing/{*}facility/{*}software")
    name = "" if facility is None else facility.get("site", facility.get("name", ""))
    return name, "" if software is None else software.get("version", "")


def _footprint(text: str) -> tuple[tuple[float, float], ...]:
    pairs = [pair.split(",") for pair in text.split()]
    try:
        return tuple((float(longitude), float(latitude)) for latitude, longitude in pairs)
    except ValueError as error:
        raise SourceError(
            f"footPrint/coordinates are {text!r}, no places; fetch the product again"
        ) from error


def _images(archive: Archive) -> tuple[Image, ...]:
    files = archive.files()
    found = [match for name in files if (match := _ANNOTATION.fullmatch(name)) is not None]
    order = ("VV", "VH", "HH", "HV")
    found.sort(key=lambda match: (order.index(match["band"].upper()), match["stem"]))
    return tuple(_image(archive, match, files) for match in found)


def _image(archive: Archive, match: re.Match[str], files: dict[str, str]) -> Image:
    product = archive.xml(match[0])
    about = ".//imageAnnotation/imageInformation"
    lines, samples = (int(number(product, f"{about}/numberOf{name}")) for name in ("Lines", "Samples"))
    down, across = (number(product, f"{about}/{name}PixelSpacing") for name in ("azimuth", "range"))
    return Image(
        band=match["band"].upper(),
        stem=match["stem"],
        shape=(lines, samples),
        spacing=(down, across),
        heading=number(product, ".//generalAnnotation/productInformation/platformHeading"),
        grid=_grid(archive, product),
        measured=f"measurement/{match['stem']}.tiff" in files,
    )


def _grid(archive: Archive, product: ElementTree.Element) -> GeolocationGrid:
    points = product.findall(".//{*}geolocationGridPoint")
    names = ("line", "pixel", "longitude", "latitude", "height", "incidenceAngle")
    values = np.array([[number(point, name) for name in names] for point in points])
    if not len(values):
        raise SourceError(f"{archive.name}: has no geolocation grid; fetch the product again")
    lines, pixels = np.unique(values[:, 0]), np.unique(values[:, 1])
    if min(len(lines), len(pixels)) < 2 or len(values) != len(lines) * len(pixels):
        raise SourceError(
            f"{archive.name}: {len(values)} geolocation points make no grid of {len(lines)} lines and "
            f"{len(pixels)} pixels; fetch the product again"
        )
    table = values[np.lexsort((values[:, 1], values[:, 0]))].reshape(len(lines), len(pixels), len(names))
    longitude = table[..., 2]
    if np.ptp(longitude) > 180:
        longitude = np.where(longitude < 0, longitude + 360, longitude)
    return GeolocationGrid(lines, pixels, longitude, table[..., 3], table[..., 4], table[..., 5])
