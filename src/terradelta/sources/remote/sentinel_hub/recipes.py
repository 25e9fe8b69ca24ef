"""What is asked for: collections, bands, filters and processing of each product, and the evalscript."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from terradelta.sources.remote.sentinel_hub.deployments import Deployment

__all__ = ["BACKSCATTER", "L1C_BANDS", "L2A_BANDS", "POLARISATIONS", "Recipe", "dem", "optical", "radar"]

BACKSCATTER = {
    "gamma0-rtc": "GAMMA0_TERRAIN",
    "gamma0-ellipsoid": "GAMMA0_ELLIPSOID",
    "sigma0-ellipsoid": "SIGMA0_ELLIPSOID",
}
"""What radar values can measure, by our names and by the service's."""

POLARISATIONS = {
    "DV": ("VV", "VH"), "DH": ("HH", "HV"), "SV": ("VV",), "SH": ("HH",),
    "VV": ("VV",), "VH": ("VH",), "HH": ("HH",), "HV": ("HV",),
}  # fmt: skip
"""Bands of a Sentinel-1 product by its polarisation code."""

L1C_BANDS = (*(f"B{n:02d}" for n in range(1, 9)), "B8A", "B09", "B10", "B11", "B12")
L2A_BANDS = tuple(band for band in L1C_BANDS if band != "B10")
CLEAR = {"CLM": (0,), "SCL": (4, 5, 6, 7)}

_IMAGE, _MASK = "image", "mask"


@dataclass(frozen=True)
class Recipe:
    """What one product is asked for, whatever the place and time.

    Attributes
    ----------
    collection : str
        Identifier of the collection.
    bands : tuple of str
        Bands, in the service's names.
    sample : {"UINT16", "FLOAT32"}
        Type of the numbers that are transferred.
    units : str
        Unit of the bands, in the service's names; empty for its own choice.
    mask : str
        Band with the classes of a cloud mask; empty for none.
    mask_collection : str
        Collection that holds the mask; empty for the same one.
    filters, processing : mapping
        Further conditions of the request, and how pixels are made.
    """

    collection: str
    bands: tuple[str, ...]
    sample: str
    units: str = ""
    mask: str = ""
    mask_collection: str = ""
    filters: Mapping[str, Any] = field(default_factory=dict)
    processing: Mapping[str, Any] = field(default_factory=dict)

    @property
    def planes(self) -> int:
        """Number of planes of an answer: bands, where there is data, and the mask."""
        return len(self.bands) + 1 + bool(self.mask)

    @property
    def clear(self) -> tuple[int, ...]:
        """Classes of the mask that count as clear."""
        return CLEAR[self.mask] if self.mask else ()

    @property
    def cost(self) -> float:
        """Processing units of 512 × 512 pixels, by the service's published rules."""
        cost = (len(self.bands) + bool(self.mask)) / 3
        cost *= 2 if self.sample == "FLOAT32" else 1
        cost *= 2 if self.mask_collection else 1
        if self.processing.get("orthorectify"):
            cost *= 2.5 if self.processing.get("backCoeff") == "GAMMA0_TERRAIN" else 2
        return cost

    def evalscript(self) -> str:
        """Give the program that the service runs for every pixel: it hands all planes over as they are."""
        own = (*self.bands, "dataMask", *((self.mask,) if self.mask and not self.mask_collection else ()))
        inputs = [_input(own, self.units, _IMAGE if self.mask_collection else "")]
        if self.mask_collection:
            inputs.append(_input((self.mask,), "DN", _MASK))
            zeros = ", ".join("0" for _ in own)
            body = (
                f"  const image = samples.{_IMAGE}[0], mask = samples.{_MASK}[0];\n"
                f"  return (image ? [{_values('image', own)}] : [{zeros}])"
                f".concat(mask ? [{_values('mask', (self.mask,))}] : [0]);"
            )
        else:
            body = f"  return [{_values('samples', own)}];"
        return (
            "//VERSION=3\n"
            "function setup() {\n"
            f"  return {{input: [{', '.join(inputs)}],\n"
            f'    output: {{bands: {self.planes}, sampleType: "{self.sample}"}}}};\n'
            "}\n"
            "function evaluatePixel(samples) {\n"
            f"{body}\n"
            "}\n"
        )

    def inputs(self, interval: tuple[str, str] | None) -> list[dict[str, Any]]:
        """Give the collections of a request, for a time interval."""
        when = {} if interval is None else {"timeRange": dict(zip(("from", "to"), interval, strict=True))}
        image = {
            "type": self.collection,
            "dataFilter": {**when, **self.filters},
            "processing": dict(self.processing),
        }
        if not self.mask_collection:
            return [image]
        mask = {"type": self.mask_collection, "id": _MASK, "dataFilter": {**when, **self.filters}}
        return [image | {"id": _IMAGE}, mask]


def _input(bands: Sequence[str], units: str, source: str) -> str:
    parts = [f"bands: {json.dumps(list(bands))}"]
    if source:
        parts.insert(0, f'datasource: "{source}"')
    if units:
        parts.append(f"units: {json.dumps(['DN' if band == 'dataMask' else units for band in bands])}")
    return f"{{{', '.join(parts)}}}"


def _values(sample: str, bands: Sequence[str]) -> str:
    return ", ".join(f"{sample}.{band}" for band in bands)


def radar(bands: Sequence[str], polarisation: str, direction: str, radiometry: str, elevation: str) -> Recipe:
    """Sentinel-1 GRD: IW, 10 m, orthorectified, linear power.

    Parameters
    ----------
    bands : sequence of str
        VV, VH, HH, HV.
    polarisation : str
        Code of the product: DV, DH, SV, ...
    direction : str
        "ascending" or "descending".
    radiometry : str
        One of `BACKSCATTER`.
    elevation : str
        Elevation model of the orthorectification.
    """
    filters = {"acquisitionMode": "IW", "resolution": "HIGH", "polarization": polarisation}
    if direction:
        filters["orbitDirection"] = direction.upper()
    return Recipe(
        "sentinel-1-grd", tuple(bands), "FLOAT32", "LINEAR_POWER",
        filters={**filters, "mosaickingOrder": "mostRecent"},
        processing={
            "orthorectify": True, "demInstance": elevation, "backCoeff": BACKSCATTER[radiometry],
            "upsampling": "BILINEAR",
        },
    )  # fmt: skip


def optical(collection: str, bands: Sequence[str], deployment: Deployment) -> Recipe:
    """Sentinel-2 in digital numbers that mean the same for all processing baselines.

    The classes of SCL must not be interpolated. Where they come with the bands, these are taken from the
    nearest pixel as well; else bands are interpolated (pixels of the same grid stay as they are).

    Parameters
    ----------
    collection : str
        "sentinel-2-l1c" or "sentinel-2-l2a".
    bands : sequence of str
        B01 ... B12, B8A.
    deployment : Deployment
        Tells where clouds are known from.
    """
    surface = collection == "sentinel-2-l2a"
    mask = "SCL" if surface else deployment.cloud_mask
    way = "NEAREST" if surface else "BILINEAR"
    return Recipe(
        collection, tuple(bands), "UINT16", "DN", mask,
        "sentinel-2-l2a" if mask == "SCL" and not surface else "",
        filters={"mosaickingOrder": "mostRecent"},
        processing={"harmonizeValues": True, "upsampling": way, "downsampling": way},
    )  # fmt: skip


def dem(instance: str) -> Recipe:
    """Copernicus DEM: metres above the geoid."""
    return Recipe(
        "dem", ("DEM",), "FLOAT32", filters={"demInstance": instance},
        processing={"upsampling": "BILINEAR", "downsampling": "BILINEAR"},
    )  # fmt: skip
