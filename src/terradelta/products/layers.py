"""The one table of layers: every writer takes types, no-data, units and colours from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.types import BoolArray

__all__ = ["LAYERS", "ClassColour", "Layer", "encode", "valid"]

Kind: TypeAlias = Literal["class", "date", "count", "measure"]

_HEAT = ("#fff7ec", "#fee0b6", "#fdbb74", "#f4803e", "#d7421e", "#a01313", "#5a0712")
_VIOLET = ("#f4f2f8", "#d3cfe6", "#a9a2d0", "#7d6fb5", "#563f95", "#33186b")
_SEASONS = ("#30206b", "#2f5597", "#2a8a9c", "#49b37f", "#a8cf55", "#f7dc4a")
_DIVERGING = ("#174a7c", "#4b93c3", "#b5d6e6", "#f6f6f4", "#f6c3a3", "#d3664f", "#8c1127")
_GREYS = ("#101418", "#4b5259", "#868d94", "#c3c8cd", "#fbfcfd")


@dataclass(frozen=True)
class ClassColour:
    """One class of a paletted layer: its value, colour and what it means."""

    value: int
    colour: str
    label: str


@dataclass(frozen=True)
class Layer:
    """What a layer is and how it is stored and shown.

    Attributes
    ----------
    name : str
        Name of the variable and of the file without its suffix.
    dtype : str
        NumPy type of the stored values.
    nodata : float
        Stored value that means "no data"; NaN for measures.
    unit : str
        Unit of the values; a dataset's own ``units`` attribute goes first.
    title : str
        Short heading for maps.
    description : str
        One sentence on the meaning.
    kind : {"class", "date", "count", "measure"}
        Decides legend and resampling: only measures may be averaged.
    classes : tuple of ClassColour
        Palette of a class layer.
    ramp : tuple of str
        Colours from the lowest to the highest value of any other layer.
    diverging : bool
        Whether the ramp's middle stands for zero.
    """

    name: str
    dtype: str
    nodata: float
    unit: str
    title: str
    description: str
    kind: Kind
    classes: tuple[ClassColour, ...] = ()
    ramp: tuple[str, ...] = ()
    diverging: bool = False

    @property
    def resampling(self) -> Literal["nearest", "average"]:
        """How overviews are made: classes, dates and counts must never be mixed."""
        return "average" if self.kind == "measure" else "nearest"

    @property
    def is_integer(self) -> bool:
        """Whether stored values are whole numbers."""
        return np.dtype(self.dtype).kind in "iu"


def _table(*layers: Layer) -> Mapping[str, Layer]:
    return MappingProxyType({layer.name: layer for layer in layers})


_CHANGE = (ClassColour(0, "#e4e8ea", "unchanged"), ClassColour(1, "#c8102e", "changed"))
_NAN = float("nan")

LAYERS: Mapping[str, Layer] = _table(
    Layer("change", "uint8", 255, "1", "Change", "Changed (1) or not (0).", "class", _CHANGE),
    Layer("score", "float32", _NAN, "1", "Strength of change",
          "How far the pixel is from what was expected; larger means surer.", "measure", (), _HEAT),
    Layer("date", "int32", -1, "days since 1970-01-01", "Date of change",
          "First acquisition that shows the change.", "date", (), _SEASONS),
    Layer("first", "int32", -1, "days since 1970-01-01", "First change",
          "Mid-point of the first window over the threshold.", "date", (), _SEASONS),
    Layer("last", "int32", -1, "days since 1970-01-01", "Last change",
          "Mid-point of the last window over the threshold.", "date", (), _SEASONS),
    Layer("count", "uint16", 65535, "1", "Number of changes",
          "How many times the pixel changed in the period.", "count", (), _VIOLET),
    Layer("difference", "float32", _NAN, "dB", "Difference",
          "Observed minus expected backscatter.", "measure", (), _DIVERGING, diverging=True),
    Layer("expected", "float32", _NAN, "dB", "Expected image",
          "Backscatter that would have been seen without change.", "measure", (), _GREYS),
    Layer("sigma", "float32", _NAN, "dB", "Uncertainty",
          "Standard deviation of the expected backscatter.", "measure", (), _HEAT),
    Layer("target", "float32", _NAN, "dB", "Image as compared",
          "Observed backscatter, despeckled as the expected image is.", "measure", (), _GREYS),
    Layer("length", "float32", _NAN, "dB", "Length of the difference",
          "Euclidean length of the difference over the bands.", "measure", (), _HEAT),
    Layer("standardised", "float32", _NAN, "standard deviations", "Standardised difference",
          "Difference in standard deviations of the expected image.", "measure", (), _DIVERGING,
          diverging=True),
    Layer("spread", "float32", _NAN, "1", "Disagreement of networks",
          "Standard deviation between networks.", "measure", (), _VIOLET),
)  # fmt: skip
"""All layers by name, in the order in which they are written and shown."""


def valid(layer: Layer, values: NDArray[Any]) -> BoolArray:
    """Tell which stored values are data.

    Parameters
    ----------
    layer : Layer
        The layer that the values belong to.
    values : ndarray
        Stored values of any shape.

    Returns
    -------
    ndarray of bool
        False at no data; infinite measures are no data as well.

    Examples
    --------
    >>> valid(LAYERS["change"], np.array([0, 1, 255], "uint8")).tolist()
    [True, True, False]
    """
    return np.asarray(values != layer.nodata if layer.is_integer else np.isfinite(values), dtype=bool)


def encode(layer: Layer, values: NDArray[Any]) -> NDArray[Any]:
    """Turn values into what the layer stores, without loss.

    Parameters
    ----------
    layer : Layer
        Row of the table of layers.
    values : ndarray
        Booleans, integers, floats (NaN = no data) or, for dates, ``datetime64``.

    Returns
    -------
    ndarray
        Same shape, of the layer's type, with the layer's no-data value.

    Raises
    ------
    InputError
        A value that the layer cannot hold: a fraction, or one out of range.

    Examples
    --------
    >>> encode(LAYERS["count"], np.array([2.0, np.nan])).tolist()
    [2, 65535]
    >>> encode(LAYERS["date"], np.array(["1970-01-11", "NaT"], "datetime64[ns]")).tolist()
    [10, -1]
    """
    values = np.asarray(values)
    if values.dtype.kind == "M":
        missing = np.isnat(values)
        return _integers(layer, np.where(missing, 0, values.astype("datetime64[D]").astype("int64")), missing)
    if values.dtype.kind not in "biuf":
        raise InputError(f"layer {layer.name!r} holds {values.dtype}; give numbers ({layer.dtype})")
    if not layer.is_integer:
        return values.astype(layer.dtype, copy=False)
    if values.dtype.kind == "f":
        missing = ~np.isfinite(values)
        return _integers(layer, np.where(missing, 0, values), missing)
    return _integers(layer, values, None)


def _integers(layer: Layer, values: NDArray[Any], missing: BoolArray | None) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):
        stored = values.astype(layer.dtype, copy=False)
    wrong = stored != values
    if layer.classes:
        allowed = [entry.value for entry in layer.classes] + [int(layer.nodata)]
        wrong |= ~np.isin(stored, allowed)
    if wrong.any():
        limits = ", ".join(str(entry.value) for entry in layer.classes) or f"whole numbers of {layer.dtype}"
        raise InputError(
            f"layer {layer.name!r} holds {values[wrong].flat[0]}; "
            f"it takes {limits} and {layer.nodata:g} for no data"
        )
    return stored if missing is None else np.where(missing, np.array(layer.nodata, layer.dtype), stored)
