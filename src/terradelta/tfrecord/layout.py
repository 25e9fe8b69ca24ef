"""The features of the published records: how each is stored, and its type and shape."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["PREPROCESSED", "RAW", "Layout", "Spec"]


class Spec(NamedTuple):
    """One feature.

    Attributes
    ----------
    name : str
        As in the file.
    stored : {"tensor", "text", "float", "int"}
        A serialized tensor; text; one float32; one int64.
    dtype : str
        Of a tensor; "text" for strings.
    shape : tuple of int or str
        Of a tensor; "y" and "x" are the same within a record.
    optional : bool
        May be missing.
    """

    name: str
    stored: Literal["tensor", "text", "float", "int"]
    dtype: str = ""
    shape: tuple[int | str, ...] = ()
    optional: bool = False


Layout = tuple[Spec, ...]


def _tensor(name: str, dtype: str, *shape: int | str, optional: bool = False) -> Spec:
    return Spec(name, "tensor", dtype, shape, optional)


_INPUTS = (
    *(
        _tensor(f"input_image_{name}", "float64", 4)
        for name in ("temperatures", "snow_depths", "platform_headings", "incidence_angles")
    ),
    _tensor("input_image_precipitations", "float64", 4, 4),
    *(
        _tensor(f"input_image_{name}", "text", 4)
        for name in ("mission_ids", "start_times", "data_take_ids")
    ),
)  # fmt: skip
_TARGET = (
    *(
        Spec(f"target_image_{name}", "float")
        for name in ("temperature", "snow_depth", "platform_heading", "incidence_angle")
    ),
    _tensor("target_image_precipitations", "float64", 4),
    *(Spec(f"target_image_{name}", "text") for name in ("mission_id", "start_time", "data_take_id")),
)
_CHANGE = (
    _tensor("simulated_change_mask", "int32", "y", "x", optional=True),
    Spec("num_simulated_changes", "int", optional=True),
    _tensor("img_superpixel_map", "int64", "y", "x", optional=True),
    Spec("img_superpixel_sets", "text", optional=True),
    _tensor("simulated_change_image", "float32", "y", "x", 2, optional=True),
    _tensor("target_image_prediction", "float32", "y", "x", 2, optional=True),
)

RAW: Layout = (
    _tensor("target_image", "float32", 2, "y", "x"),
    _tensor("input_image_stack", "float32", 8, "y", "x"),
    _tensor("dem_rast", "float32", "y", "x"),
    _tensor("forestmask", "float32", "y", "x"),
    Spec("image_location", "text"),
    *_INPUTS,
    *_TARGET,
    *_CHANGE,
)
"""Raw samples; images channel first, those of simulated change channel last."""

PREPROCESSED: Layout = (
    _tensor("target_image", "float32", "y", "x", 2),
    _tensor("input_image_stack", "float32", "y", "x", 9),
    _tensor("forestmask", "float32", "y", "x"),
    _tensor("latent_metadata", "float64", 45),
)
"""Samples as the published network takes them; channel last."""
