"""QGIS styles (``.qml``), one beside each raster, from the table of layers."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from terradelta.products.layers import Layer
from terradelta.products.summary import iso_date

__all__ = ["qgis_style"]

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_STOPS = 9


def qgis_style(layer: Layer, limits: tuple[float, float]) -> str:
    """Write the style of a layer: a palette for classes, a colour ramp for anything else.

    Parameters
    ----------
    layer : Layer
        Row of the table of layers.
    limits : tuple of float
        Values of the first and the last colour of the ramp.

    Returns
    -------
    str
        Text of a ``.qml`` file, which QGIS (3.x) loads by itself when it lies beside the raster.

    Examples
    --------
    >>> from terradelta.products.layers import LAYERS
    >>> 'type="paletted"' in qgis_style(LAYERS["change"], (0, 1))
    True
    """
    root = ElementTree.Element("qgis", version="3.28.0", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    provider = ElementTree.SubElement(pipe, "provider")
    ElementTree.SubElement(
        provider, "resampling", enabled="false", maxOversampling="2",
        zoomedInResamplingMethod="nearestNeighbour", zoomedOutResamplingMethod="nearestNeighbour",
    )  # fmt: skip
    if layer.classes:
        _palette(pipe, layer)
    else:
        _ramp(pipe, layer, limits)
    ElementTree.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ElementTree.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ElementTree.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ElementTree.SubElement(root, "blendMode").text = "0"
    ElementTree.indent(root)
    return _DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"


def _renderer(pipe: ElementTree.Element, kind: str) -> ElementTree.Element:
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", type=kind, band="1", alphaBand="-1", opacity="1", nodataColor=""
    )
    ElementTree.SubElement(renderer, "rasterTransparency")
    origin = ElementTree.SubElement(renderer, "minMaxOrigin")
    for name, text in (("limits", "None"), ("extent", "WholeRaster"), ("statAccuracy", "Estimated")):
        ElementTree.SubElement(origin, name).text = text
    return renderer


def _palette(pipe: ElementTree.Element, layer: Layer) -> None:
    palette = ElementTree.SubElement(_renderer(pipe, "paletted"), "colorPalette")
    for entry in layer.classes:
        ElementTree.SubElement(
            palette,
            "paletteEntry",
            value=str(entry.value),
            color=entry.colour,
            label=entry.label,
            alpha="255",
        )


def _ramp(pipe: ElementTree.Element, layer: Layer, limits: tuple[float, float]) -> None:
    low, high = f"{limits[0]:.10g}", f"{limits[1]:.10g}"
    renderer = _renderer(pipe, "singlebandpseudocolor")
    renderer.attrib.update(classificationMin=low, classificationMax=high)
    shader = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "rastershader"), "colorrampshader",
        colorRampType="INTERPOLATED", classificationMode="1", clip="0", labelPrecision="4",
        minimumValue=low, maximumValue=high,
    )  # fmt: skip
    ramp = ElementTree.SubElement(shader, "colorramp", type="gradient", name="[source]")
    options = ElementTree.SubElement(ramp, "Option", type="Map")
    colours = [_rgba(colour) for colour in layer.ramp]
    places = np.linspace(0, 1, len(colours))[1:-1]
    stops = ":".join(f"{place:.6g};{colour}" for place, colour in zip(places, colours[1:-1], strict=True))
    texts = {
        "color1": colours[0],
        "color2": colours[-1],
        "discrete": "0",
        "rampType": "gradient",
        "stops": stops,
    }
    for name, text in texts.items():
        ElementTree.SubElement(options, "Option", type="QString", name=name, value=text)
    for value, colour in _items(layer, limits):
        label = iso_date(round(value)) if layer.kind == "date" else f"{value:.4g}"
        ElementTree.SubElement(shader, "item", value=f"{value:.10g}", color=colour, label=label, alpha="255")


def _items(layer: Layer, limits: tuple[float, float]) -> list[tuple[float, str]]:
    """Values and colours between the limits, more of them than the ramp has, for a fine legend."""
    base = np.array([list(bytes.fromhex(colour[1:])) for colour in layer.ramp], dtype=float)
    shares = np.linspace(0, 1, _STOPS)
    channels = [np.interp(shares, np.linspace(0, 1, len(base)), base[:, index]) for index in range(3)]
    colours = ["#" + bytes(round(value) for value in rgb).hex() for rgb in zip(*channels, strict=True)]
    return list(zip((limits[0] + shares * (limits[1] - limits[0])).tolist(), colours, strict=True))


def _rgba(colour: str) -> str:
    return ",".join(str(value) for value in bytes.fromhex(colour[1:])) + ",255"
