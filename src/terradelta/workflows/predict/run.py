"""The verb: from a trained model and a cube to the expected image, the difference to it, and pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from terradelta.cube import open_cube
from terradelta.cube.files import storage_errors
from terradelta.workflows.config import PredictSettings
from terradelta.workflows.detect.plan import is_complete
from terradelta.workflows.executing import executing
from terradelta.workflows.progress import Progress, no_progress

if TYPE_CHECKING:
    import geopandas as gpd

    from terradelta.expected import ExpectedImage
    from terradelta.products import Extra, Provenance

__all__ = ["CASES", "DIFFERENCE", "EXPECTED", "run_predict"]

EXPECTED, DIFFERENCE, CASES = "expected.zarr", "difference.zarr", "what-if"
"""Zarr stores in the output folder, and the folder of those of changed conditions."""

_WHERE = {"run", "cube", "out", "overwrite", "scheduler"}
_HOW = {"memory", "device"}
_GDAL_SHARE, _GDAL_LEAST = 8, 32 * 2**20


def run_predict(settings: PredictSettings, progress: Progress = no_progress) -> Path:
    """Expect an acquisition, compare it with what was seen, and write the products.

    The same command again goes on where it was stopped, or finds that all is done.

    Parameters
    ----------
    settings : PredictSettings
        What to do.
    progress : callable
        See `show_progress`.

    Returns
    -------
    Path
        The output folder.

    Raises
    ------
    ConflictError
        If results of other settings, of another model or cube are there and `overwrite` is not set.
    LockedError
        If another process works in the output folder.
    UnavailableError
        If a scheduler was told and does not answer.
    CubeError, InputError, StorageError
        If the cube or the model cannot be used, the memory does not suffice, or the folder cannot be written.
    """
    from terradelta.expected import ExpectedImage
    from terradelta.expected.prediction.scenarios import cases_of, require_told
    from terradelta.learning.devices import device_of

    device = device_of(settings.device) if settings.scheduler is None else "cpu"
    model = ExpectedImage.from_pretrained(settings.run, device, precision=settings.precision)
    if settings.what_if:
        require_told(model, cases_of(settings.what_if))
    job = _Job(settings, model, open_cube(settings.cube), progress)
    if not settings.overwrite and is_complete(settings.out, job.plan):
        return settings.out
    with executing(settings.scheduler, reads=[settings.cube]) as executor:
        seen, cases = job.predict(executor)
    job.write(seen, cases)
    return settings.out


@dataclass(frozen=True)
class _Job:
    """One acquisition to expect."""

    settings: PredictSettings
    model: ExpectedImage
    tree: xr.DataTree
    progress: Progress

    @cached_property
    def plan(self) -> dict[str, Any]:
        """Name what the results depend on, in plain values."""
        from terradelta.expected.prediction.acquisitions import choose_images
        from terradelta.expected.prediction.run import identity, same_orbit_of
        from terradelta.expected.samples.cube_images import CubeImages

        told = self.settings
        images = CubeImages(told.cube)
        chosen = choose_images(
            images, told.time, self.model.previous, same_orbit=same_orbit_of(self.model, told.same_orbit)
        )
        radar = self.tree["sar"].to_dataset()
        direction, source = (radar[name].values for name in ("orbit_direction", "source_id"))
        used = [
            {
                "time": image.time[:19],
                "orbit": f"{image.orbit} {direction[place]}".strip(),
                "platform": image.platform,
                "source": str(source[place]),
            }
            for place, image in zip(chosen.places, chosen.acquired, strict=True)
        ]
        return {
            **told.model_dump(mode="json", exclude=_WHERE | _HOW),
            "model": identity(self.model),
            "cube": told.cube.name,
            "acquisitions": used,
        }

    @property
    def _title(self) -> str:
        return f"{self.settings.cube.stem} on {self.plan['acquisitions'][-1]['time'][:10]}"

    def predict(self, executor: Executor | None) -> tuple[xr.Dataset, xr.Dataset | None]:
        """Expect the acquisition, also under changed conditions where this is asked for."""
        from terradelta.expected import predict, what_if

        told, store = self.settings, self.settings.out
        names = ("block", "overlap", "memory", "overwrite", "same_orbit", "neighbourhood", "device")
        how: dict[str, Any] = {name: getattr(told, name) for name in names}
        how |= {"progress": self.progress, "executor": executor}
        seen = predict(self.model, told.cube, told.time, store=store / EXPECTED, **how)
        if not told.what_if:
            return seen, None
        how |= {"rain": told.rain, "original": seen, "store": store / CASES}
        return seen, what_if(self.model, told.cube, told.time, told.what_if, **how)

    def write(self, seen: xr.Dataset, cases: xr.Dataset | None) -> None:
        """Compare with what was seen, and write the products."""
        import rasterio

        from terradelta.expected.differences.difference import difference
        from terradelta.products import write

        compared = difference(self.tree, seen).drop_vars("strength", errors="ignore")
        cache = max(self.settings.memory // _GDAL_SHARE, _GDAL_LEAST)
        with self.progress("writing products", 1) as advance, rasterio.Env(GDAL_CACHEMAX=cache):
            _write_zarr(compared, self.settings.out / DIFFERENCE)
            write(
                _layers(seen, compared),
                self.settings.out,
                provenance=self._provenance(),
                title=f"Expected image of {self._title}",
                add=_Pictures(seen, compared, cases, self._title),
            )
            advance(1)

    def _provenance(self) -> Provenance:
        from terradelta.products import Provenance

        fields = type(self.settings).model_fields
        notes = {name: ("", field.description or "") for name, field in fields.items()}
        kept = {key: value for key, value in self.plan.items() if key not in ("cube", "acquisitions")}
        return Provenance(
            method="expected",
            configuration={
                **kept,
                "memory": self.settings.memory,
                "network": type(self.model.network).__name__,
                "preparation": json.loads(json.dumps(self.model.preparation.to_dict())),
            },
            inputs=[self.settings.cube.name, self.settings.run.name],
            acquisitions=self.plan["acquisitions"],
            notes=notes | {"model": ("", "Fingerprint of weights, statistics and preparation.")},
        )


def _layers(seen: xr.Dataset, compared: xr.Dataset) -> xr.Dataset:
    """Put the layers of the products together."""
    both = seen.drop_vars("time").merge(compared.drop_vars("time", errors="ignore"))
    for layer in both.data_vars.values():
        layer.attrs.pop("long_name", None)  # the table of layers describes them
    return both


def _write_zarr(dataset: xr.Dataset, target: Path) -> None:
    """Write a dataset beside its place, then move it there as a whole."""
    draft = target.with_name(f".{target.name}.unfinished")
    plain = dataset.assign_coords(band=dataset["band"].astype(object))
    with storage_errors(target):
        shutil.rmtree(draft, ignore_errors=True)
        plain.drop_encoding().to_zarr(draft, mode="w", consolidated=False, zarr_format=3)
        if target.exists():
            shutil.rmtree(target)
        draft.replace(target)


@dataclass(frozen=True)
class _Pictures:
    """Draws what is shown beside the maps."""

    seen: xr.Dataset
    compared: xr.Dataset
    cases: xr.Dataset | None
    title: str

    def __call__(self, folder: Path, polygons: gpd.GeoDataFrame | None) -> Sequence[Extra]:
        from terradelta.products import Extra, draw_expected, draw_what_if

        (folder / "comparison.png").write_bytes(draw_expected(self.seen, self.compared, title=self.title))
        caption = "What was seen, what should have been seen if nothing had changed, and the difference."
        extras = [Extra("comparison.png", "Real and expected", caption)]
        if self.cases is not None:
            (folder / "what-if.png").write_bytes(draw_what_if(self.cases, title=self.title))
            caption = "The expected image under changed conditions of the acquisition."
            extras.append(Extra("what-if.png", "What if", caption))
        return extras
