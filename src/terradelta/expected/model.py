"""A trained network with all that it takes to use it on data that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import nn

from terradelta.errors import InputError
from terradelta.expected import model_files
from terradelta.expected.conditions import kept_features
from terradelta.expected.inputs import Expected, Inputs
from terradelta.expected.preparation import Preparation
from terradelta.expected.statistics import Statistics
from terradelta.expected.training.ranges import Ranges, beyond
from terradelta.learning.options import Precision
from terradelta.types import FloatArray, PathType

if TYPE_CHECKING:
    import xarray as xr

    from terradelta.expected.samples.sample import Sample
    from terradelta.expected.training.fit import FitConfig

__all__ = ["ExpectedImage"]


class ExpectedImage:
    """What should have been seen if nothing had changed, by a trained network.

    Attributes
    ----------
    network : nn.Module
        Any of `terradelta.expected.networks.registry.NETWORKS`, ready for inference.
    statistics : Statistics
        Of the data that it was trained on; they normalise all that it is given.
    preparation : Preparation
        What is done to images before it sees them.
    bands : tuple of str
        Names of the bands, in order.
    previous : int
        Previous images that it was trained with.
    spacing : float or None
        Metres between pixels; None if unknown.
    ranges : mapping
        Per feature the least and the greatest normalised value seen in training; beyond it extrapolates.
    same_orbit : bool
        Whether the previous images are those of the target's orbit only.
    precision : str
        Of the convolutions: ``float32``; ``bfloat16``: faster where the processor multiplies such numbers
        itself (AVX-512 BF16, AMX, a GPU), slower elsewhere; ``float16``: on a GPU. Weights, moments and
        results stay in float32. It says how to compute, so it is not saved with the model.

    Raises
    ------
    InputError
        The network was made for another number of bands, or the precision is unknown.
    """

    def __init__(
        self,
        network: nn.Module,
        statistics: Statistics,
        preparation: Preparation | None = None,
        *,
        bands: tuple[str, ...] = ("VV", "VH"),
        previous: int = 4,
        spacing: float | None = None,
        ranges: Ranges | None = None,
        same_orbit: bool = False,
        precision: Precision = "float32",
    ) -> None:
        wanted = getattr(network, "bands", len(bands))
        if wanted != len(bands):
            raise InputError(
                f"bands are {', '.join(bands)}, but the network was made for {wanted}; name these"
            )
        self.network = network.eval()
        self.statistics = statistics
        self.preparation = preparation or Preparation()
        self.bands = tuple(bands)
        self.previous = previous
        self.spacing = spacing
        self.same_orbit = same_orbit
        self.precision = precision
        self.ranges: Mapping[str, tuple[float, float]] = dict(ranges or {})

    @classmethod
    def fit(cls, source: Any, config: FitConfig | None = None, **more: Any) -> ExpectedImage:
        """Train a network.

        Parameters
        ----------
        source : object
            Cube (open, or its path), file of samples (``.zarr``), or one or more TFRecord files.
        config : FitConfig, optional
            What to train, and how.
        **more
            See `terradelta.expected.training.fit.fit_expected`: ``run``, ``resume``, ``progress`` and others.

        Returns
        -------
        ExpectedImage
            The best of the run by validation loss.

        Raises
        ------
        InputError
            Data or configuration cannot be used.
        """
        from terradelta.expected.training.fit import FitConfig, fit_expected

        return fit_expected(source, config or FitConfig(), **more)

    @classmethod
    def from_pretrained(
        cls,
        folder: PathType,
        device: str | torch.device | None = None,
        *,
        precision: Precision = "float32",
    ) -> ExpectedImage:
        """Read what `save_pretrained` wrote.

        Parameters
        ----------
        folder : path-like
            That folder, or the run folder it lies in.
        device : str, optional
            Where the network will run; CPU if left out.
        precision : str
            What its convolutions compute with.

        Returns
        -------
        ExpectedImage
            Ready for inference.

        Raises
        ------
        InputError
            Files are missing, damaged, of another format or architecture, or the precision is unknown.
        """
        model = model_files.read(cls, folder).to(device or "cpu")
        model.precision = precision
        return model

    def save_pretrained(self, folder: PathType) -> None:
        """Write ``model.safetensors`` and ``config.json``, each in one step.

        Parameters
        ----------
        folder : path-like
            Made when missing.

        Raises
        ------
        StorageError
            It cannot be written.
        """
        model_files.write(self, folder)

    @property
    def precision(self) -> Precision:
        """What the convolutions compute with."""
        return self._precision

    @precision.setter
    def precision(self, name: Precision) -> None:
        if name not in get_args(Precision):
            raise InputError(f"precision is {name!r}; choose from {', '.join(get_args(Precision))}")
        self._precision = name

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def to(self, device: str | torch.device) -> ExpectedImage:
        """Move the network, in place.

        Parameters
        ----------
        device : str
            For example ``cuda``.
        """
        self.network.to(device)
        return self

    def expect(self, inputs: Inputs) -> Expected:
        """Run the network.

        Parameters
        ----------
        inputs : Inputs
            Normalised, on any device.

        Returns
        -------
        Expected
            Normalised float32, on the device of the images.

        Raises
        ------
        InputError
            Sizes do not fit the network, or the precision is float16 without a GPU.
        """
        home, back = self.device, inputs.images.device
        self.network.eval()
        with torch.inference_mode(), self._arithmetic(home.type):
            found = self.network(Inputs(*(part.to(home) for part in inputs)))
        sigma = None if found.sigma is None else found.sigma.float().to(back)
        return Expected(found.mean.float().to(back), sigma)

    def _arithmetic(self, device: str) -> AbstractContextManager[Any]:
        if self.precision == "float32":
            return nullcontext()
        if self.precision == "float16" and device == "cpu":
            raise InputError("precision is float16, which needs a GPU; give bfloat16 or float32")
        return torch.autocast(device, getattr(torch, self.precision))

    def decibel(self, expected: Expected, inputs: Inputs) -> tuple[FloatArray, FloatArray | None]:
        """Turn what a network says into dB of the target as observed: the scene's state is added back.

        Parameters
        ----------
        expected : Expected
            Normalised, from `expect`.
        inputs : Inputs
            Which it was given.

        Returns
        -------
        mean : ndarray
            (batch, band, y, x), dB, float32.
        sigma : ndarray or None
            Likewise, standard deviation, dB.
        """
        offset = inputs.state[:, : len(self.bands)].float().cpu().numpy() * self.half_width
        mean = self.statistics.decibel(expected.mean.cpu().numpy()) + offset
        if expected.sigma is None:
            return mean.astype(np.float32), None
        return mean.astype(np.float32), (expected.sigma.cpu().numpy() * self.half_width).astype(np.float32)

    @property
    def half_width(self) -> float:
        """How many dB the normalisation of images maps to 1."""
        return self.statistics.half_width

    def inputs_of(self, sample: Sample) -> Inputs:
        """Prepare and normalise one sample.

        Parameters
        ----------
        sample : Sample
            In dB and physical units.

        Returns
        -------
        Inputs
            A batch of one.

        Raises
        ------
        InputError
            Its bands are others than the model's, or it lacks what the network needs.
        """
        from terradelta.expected.samples.feeding import batch_of

        self.require_bands(sample.bands)
        kept = kept_features(**self.told)
        return batch_of(sample, self.statistics, self.preparation, kept=kept).inputs

    def require_bands(self, bands: tuple[str, ...]) -> None:
        """Refuse data of other bands.

        Parameters
        ----------
        bands : tuple of str
            Of the data.

        Raises
        ------
        InputError
            They are not the model's, in its order.
        """
        if tuple(bands) != self.bands:
            raise InputError(
                f"the data have bands {', '.join(bands)}, the model was trained on {', '.join(self.bands)}; "
                "give data of these or train again"
            )

    @property
    def told(self) -> dict[str, Any]:
        """Which conditions the network is told: ``without`` and ``weather``."""
        config = getattr(self.network, "config", None)
        without = tuple(getattr(config, "without", ()))
        return {"without": without, "weather": bool(getattr(config, "weather", True))}

    def beyond(self, inputs: Inputs) -> list[str]:
        """Name the conditions outside what was seen in training, where the network extrapolates.

        Parameters
        ----------
        inputs : Inputs
            Of any number of samples.

        Returns
        -------
        list of str
            One line per feature, in physical units; empty if all is within.
        """
        return beyond(inputs, self.ranges, self.statistics)

    def expected_db(self, sample: Sample) -> tuple[FloatArray, FloatArray | None]:
        """Expect the target of one sample.

        Parameters
        ----------
        sample : Sample
            In dB and physical units.

        Returns
        -------
        mean : ndarray
            (band, y, x), dB, with the state of the target's scene.
        sigma : ndarray or None
            (band, y, x), dB; None if the network does not tell.

        Raises
        ------
        InputError
            Its bands are others than the model's, or it lacks what the network needs.
        """
        inputs = self.inputs_of(sample)
        mean, sigma = self.decibel(self.expect(inputs), inputs)
        return mean[0], None if sigma is None else sigma[0]

    def predict(self, cube: xr.DataTree | PathType, time: Any = "last", **more: Any) -> xr.Dataset:
        """Expect one acquisition of a cube, whole.

        Parameters
        ----------
        cube : DataTree or path-like
            The place.
        time : str or datetime64
            Date of the acquisition, or ``last``.
        **more
            See `terradelta.expected.prediction.run.predict`.

        Returns
        -------
        Dataset
            ``expected`` (band, y, x), dB, and ``sigma`` if the network tells it.

        Raises
        ------
        CubeError, InputError
            The cube or its acquisition cannot be used.
        """
        from terradelta.expected.prediction.run import predict

        return predict(self, cube, time, **more)
