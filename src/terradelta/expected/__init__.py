"""Method A: the image that should have been seen if nothing had changed, and the difference to it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.expected.biweight import BiweightFit, biweight_regression
    from terradelta.expected.conditions import Conditions
    from terradelta.expected.differences.baselines import conventional
    from terradelta.expected.model import ExpectedImage
    from terradelta.expected.networks.conditioned import ConditionedUNet, ConditionedUNetConfig
    from terradelta.expected.networks.losses import LossConfig, loss_of
    from terradelta.expected.networks.optimiser import PublishedAdamW
    from terradelta.expected.networks.registry import NETWORKS, build_network
    from terradelta.expected.networks.unet import UNet
    from terradelta.expected.networks.unet_config import Convolution, Stage, UNetConfig
    from terradelta.expected.networks.unet_keras import keras_arrays, load_keras_arrays
    from terradelta.expected.parameters import RobustParameters
    from terradelta.expected.persistence import Persistence, PersistenceResult
    from terradelta.expected.prediction.run import predict
    from terradelta.expected.prediction.scenarios import what_if
    from terradelta.expected.prediction.store import open_prediction
    from terradelta.expected.preparation import Preparation, PreparedSeries
    from terradelta.expected.robust import RobustDifference, change_strength, robust_difference
    from terradelta.expected.samples.feeding import SampleDataset
    from terradelta.expected.samples.files import SampleFile, write_samples
    from terradelta.expected.samples.places import SamplePlan
    from terradelta.expected.samples.planned import PlannedSamples
    from terradelta.expected.samples.plans import plan_samples
    from terradelta.expected.samples.sample import Sample
    from terradelta.expected.scene import SceneState, fit_scene_states
    from terradelta.expected.statistics import Statistics, statistics_of
    from terradelta.expected.training.fit import FitConfig

_HOME = {
    "BiweightFit": "biweight",
    "ConditionedUNet": "networks.conditioned",
    "ConditionedUNetConfig": "networks.conditioned",
    "Conditions": "conditions",
    "Convolution": "networks.unet_config",
    "ExpectedImage": "model",
    "FitConfig": "training.fit",
    "LossConfig": "networks.losses",
    "NETWORKS": "networks.registry",
    "Persistence": "persistence",
    "PersistenceResult": "persistence",
    "PlannedSamples": "samples.planned",
    "Preparation": "preparation",
    "PreparedSeries": "preparation",
    "PublishedAdamW": "networks.optimiser",
    "RobustDifference": "robust",
    "RobustParameters": "parameters",
    "Sample": "samples.sample",
    "SampleDataset": "samples.feeding",
    "SampleFile": "samples.files",
    "SamplePlan": "samples.places",
    "SceneState": "scene",
    "Stage": "networks.unet_config",
    "Statistics": "statistics",
    "UNet": "networks.unet",
    "UNetConfig": "networks.unet_config",
    "biweight_regression": "biweight",
    "build_network": "networks.registry",
    "change_strength": "robust",
    "conventional": "differences.baselines",
    "fit_scene_states": "scene",
    "keras_arrays": "networks.unet_keras",
    "load_keras_arrays": "networks.unet_keras",
    "loss_of": "networks.losses",
    "open_prediction": "prediction.store",
    "plan_samples": "samples.plans",
    "predict": "prediction.run",
    "robust_difference": "robust",
    "statistics_of": "statistics",
    "what_if": "prediction.scenarios",
    "write_samples": "samples.files",
}

__all__ = [
    "NETWORKS",
    "BiweightFit",
    "ConditionedUNet",
    "ConditionedUNetConfig",
    "Conditions",
    "Convolution",
    "ExpectedImage",
    "FitConfig",
    "LossConfig",
    "Persistence",
    "PersistenceResult",
    "PlannedSamples",
    "Preparation",
    "PreparedSeries",
    "PublishedAdamW",
    "RobustDifference",
    "RobustParameters",
    "Sample",
    "SampleDataset",
    "SampleFile",
    "SamplePlan",
    "SceneState",
    "Stage",
    "Statistics",
    "UNet",
    "UNetConfig",
    "biweight_regression",
    "build_network",
    "change_strength",
    "conventional",
    "fit_scene_states",
    "keras_arrays",
    "load_keras_arrays",
    "loss_of",
    "open_prediction",
    "plan_samples",
    "predict",
    "robust_difference",
    "statistics_of",
    "what_if",
    "write_samples",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
