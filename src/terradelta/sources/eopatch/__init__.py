"""EOPatches, the folders of arrays that eo-learn writes: one place, many times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from affine import Affine
from odc.geo.geobox import GeoBox

from terradelta.errors import SourceError
from terradelta.sources.decodings import S2_OFFSET, optical_decoding, plain_decoding, sar_decoding
from terradelta.sources.eopatch.arrays import ENDINGS, VALID
from terradelta.sources.eopatch.features import (
    FOLDERS,
    Feature,
    bands_of,
    features_of,
    info_of,
    layer_name,
    mask_of,
    valid_of,
)
from terradelta.sources.eopatch.metadata import METADATA, patch_box, patch_times
from terradelta.sources.families import NameInfo
from terradelta.sources.flights import flight_of
from terradelta.sources.layers import Decoding, Layer, RawLayer
from terradelta.sources.problems import Problems
from terradelta.sources.radiometry import radiometry_of
from terradelta.sources.sidecar import SIDECAR_NAME, FeatureRule, Sidecar, load_sidecar
from terradelta.sources.times import Time

__all__ = ["is_eopatch", "layers_of", "patches_in"]

_COMPANIONS = ("CLM", "CLP", "SCL", "DATAMASK", "IS_DATA")


def is_eopatch(folder: Path) -> bool:
    """Tell whether a folder is an EOPatch: arrays in `data` or `mask`, and a file with times or bounds.

    Parameters
    ----------
    folder : pathlib.Path
        Any folder, or a file.
    """
    arrays = (
        path.name.endswith(ENDINGS)
        for kind in FOLDERS
        if (folder / kind).is_dir()
        for path in (folder / kind).iterdir()
    )
    return any(arrays) and any((folder / name).is_file() for name in (*METADATA, SIDECAR_NAME))


def patches_in(folder: Path) -> Iterator[Path]:
    """Give the EOPatches in a folder and the folders below it, or the folder if it is one."""
    if is_eopatch(folder):
        yield folder
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.suffix not in (".SAFE", ".zarr") and not path.name.startswith("."):
            yield from patches_in(path)


def layers_of(patch: Path, root: Path, settings: Sidecar, problems: Problems) -> list[Layer]:
    """Understand all features of an EOPatch; what is no radar, optical or static image is left out.

    Parameters
    ----------
    patch : pathlib.Path
        The EOPatch.
    root : pathlib.Path
        Folder that is imported; the names of those between tell the sensor where that of a feature does not.
    settings : Sidecar
        Of the folder; a `terradelta.yaml` in the EOPatch itself wins.
    problems : Problems
        Takes what is left out.

    Returns
    -------
    list of Layer
        One per time and band.

    Raises
    ------
    SourceError
        Times or place cannot be read, an array is damaged or does not fit the times, or a unit is unknown.
    """
    if patch != root and (patch / SIDECAR_NAME).is_file():
        own = load_sidecar(None, patch)
        settings = settings.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})
    inside = patch.relative_to(root).parts or (patch.name,)
    found = _Patch(patch, "/".join(inside), tuple(reversed(inside)), settings, features_of(patch))
    return [layer for feature in found.features.values() for layer in _layers(found, feature, problems)]


@dataclass(frozen=True)
class _Patch:
    """One EOPatch: where it lies, what is said about it, what it holds."""

    folder: Path
    place: str
    around: Sequence[str]
    settings: Sidecar
    features: Mapping[str, Feature]

    def grid(self, feature: Feature) -> GeoBox:
        """Give the grid of a feature: its rows and columns over the extent of the EOPatch."""
        (left, bottom, right, top), crs = patch_box(self.folder, self.settings)
        rows, columns = feature.header.shape[-3:-1]
        step = Affine((right - left) / columns, 0, left, 0, (bottom - top) / rows, top)
        return GeoBox((rows, columns), step, crs)

    def times(self, feature: Feature) -> list[Time]:
        """Give one time for each image of a feature."""
        times = patch_times(self.folder, self.settings)
        if len(times) != feature.times:
            raise SourceError(
                f"{self.place}/{feature.name}: {feature.times} images, but {len(times)} times; correct "
                f"timestamps.json, or say 'times' in a {SIDECAR_NAME} beside it"
            )
        return times


def _layers(patch: _Patch, feature: Feature, problems: Problems) -> list[Layer]:
    rule = patch.settings.for_feature(patch.folder.name, feature.name)
    if rule.ignore:
        return []
    name = layer_name(feature, rule)
    if name:
        return [_static(patch, feature, rule, name)]
    info = info_of(feature, rule, patch.around)
    bands = () if feature.path.parent.name != "data" else bands_of(feature, rule, info)
    if info.group not in ("sar", "optical") or not bands:
        if feature.stem.upper() not in _COMPANIONS and feature.path.parent.name != "mask":
            problems.warn(
                f"{feature.name}: not understood and left out; say 'sensor' and 'bands' for it under "
                f"'features' in {SIDECAR_NAME}, or 'ignore: true'"
            )
        return []
    return _images(patch, feature, rule, info, bands)


def _static(patch: _Patch, feature: Feature, rule: FeatureRule, name: str) -> Layer:
    """Describe the first channel of a feature as a layer without time."""
    raw = _raw(feature, patch.grid(feature), 0, 0)
    classes = feature.path.parent.name.startswith("mask") or (name != "dem" and raw.dtype.kind in "biu")
    return Layer(
        raw=raw, grid=raw.grid, group="static", band=name, place=patch.place, product=patch.place,
        decoding=plain_decoding(raw, rule, ""),
        categorical=classes if rule.categorical is None else rule.categorical,
    )  # fmt: skip


def _images(
    patch: _Patch, feature: Feature, rule: FeatureRule, info: NameInfo, bands: Sequence[str]
) -> list[Layer]:
    """Describe each channel at each time, with the mask of optical images."""
    grid, times = patch.grid(feature), patch.times(feature)
    valid = valid_of(patch.features, feature, rule)
    layers = []
    for number, time in enumerate(times):
        for channel, band in enumerate(bands):
            raw = _raw(feature, grid, number, channel)
            raw = replace(raw, label=band, tags={VALID: str(valid.path)} if valid is not None else {})
            layers.append(_image(patch, raw, rule, replace(info, band=band), time))
    mask = mask_of(patch.features, feature, rule) if info.group == "optical" else None
    if mask is not None:
        layers += _masks(patch, mask[0], mask[1], layers[:: len(bands)])
    return layers


def _image(patch: _Patch, raw: RawLayer, rule: FeatureRule, info: NameInfo, time: Time) -> Layer:
    sar = info.group == "sar"
    flight, guesses = flight_of(raw, info, rule, time, raw.grid)
    decoding = sar_decoding(raw, info, rule) if sar else optical_decoding(raw, info, rule, time)
    return Layer(
        raw=raw, grid=raw.grid, group=info.group, band=info.band, time=time, decoding=decoding,
        flight=flight, estimated=guesses, place=patch.place, product=patch.place,
        radiometry=radiometry_of(raw, info, rule) if sar else "",
        offset_applied=not sar and raw.dtype.kind in "ui" and decoding.offset == S2_OFFSET,
    )  # fmt: skip


def _masks(patch: _Patch, mask: Feature, clear: tuple[int, ...], images: Sequence[Layer]) -> list[Layer]:
    """Describe the mask at the time of each image."""
    grid = patch.grid(mask)
    patch.times(mask)
    return [
        replace(
            image, raw=_raw(mask, grid, number, 0), grid=grid, band=mask.stem, decoding=Decoding(),
            offset_applied=False, categorical=True, clear_values=clear,
        )
        for number, image in enumerate(images)
    ]  # fmt: skip


def _raw(feature: Feature, grid: GeoBox, time: int, channel: int) -> RawLayer:
    channels = feature.header.channels
    return RawLayer(
        path=feature.path, reader="eopatch", key=time * channels + channel + 1, grid=grid,
        dtype=feature.header.dtype, count=channels,
    )  # fmt: skip
