"""Method A: the image that should have been seen if nothing had changed, and the difference to it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.expected.baselines import conventional
    from terradelta.expected.biweight import BiweightFit, biweight_regression
    from terradelta.expected.conditions import Conditions
    from terradelta.expected.feeding import SampleDataset
    from terradelta.expected.losses import LossConfig, loss_of
    from terradelta.expected.model import ExpectedImage
    from terradelta.expected.networks import NETWORKS, build_network
    from terradelta.expected.parameters import RobustParameters
    from terradelta.expected.persistence import Persistence, PersistenceResult
    from terradelta.expected.places import SamplePlan
    from terradelta.expected.planned import PlannedSamples
    from terradelta.expected.plans import plan_samples
    from terradelta.expected.prediction import predict
    from terradelta.expected.prediction_store import open_prediction
    from terradelta.expected.preparation import Preparation
    from terradelta.expected.robust import RobustDifference, change_strength, robust_difference
    from terradelta.expected.sample_files import SampleFile, write_samples
    from terradelta.expected.samples import Sample
    from terradelta.expected.scenarios import what_if
    from terradelta.expected.scene import SceneState, fit_scene_states
    from terradelta.expected.statistics import Statistics, statistics_of
    from terradelta.expected.unet import UNet
    from terradelta.expected.unet_config import Convolution, Stage, UNetConfig
    from terradelta.expected.unet_keras import keras_arrays, load_keras_arrays

_HOME = {
    "write_samples": "sample_files",
    "statistics_of": "statistics",
    "plan_samples": "plans",
    "Statistics": "statistics",
    "SamplePlan": "places",
    "SampleFile": "sample_files",
    "SampleDataset": "feeding",
    "Sample": "samples",
    "PlannedSamples": "planned",
    "Conditions": "conditions",
    "NETWORKS": "networks",
    "BiweightFit": "biweight",
    "Convolution": "unet_config",
    "ExpectedImage": "model",
    "LossConfig": "losses",
    "Persistence": "persistence",
    "PersistenceResult": "persistence",
    "Preparation": "preparation",
    "RobustDifference": "robust",
    "RobustParameters": "parameters",
    "SceneState": "scene",
    "Stage": "unet_config",
    "UNet": "unet",
    "UNetConfig": "unet_config",
    "biweight_regression": "biweight",
    "build_network": "networks",
    "change_strength": "robust",
    "conventional": "baselines",
    "fit_scene_states": "scene",
    "keras_arrays": "unet_keras",
    "load_keras_arrays": "unet_keras",
    "loss_of": "losses",
    "open_prediction": "prediction_store",
    "predict": "prediction",
    "robust_difference": "robust",
    "what_if": "scenarios",
}

__all__ = [
    "NETWORKS",
    "BiweightFit",
    "Conditions",
    "Convolution",
    "ExpectedImage",
    "LossConfig",
    "Persistence",
    "PersistenceResult",
    "PlannedSamples",
    "Preparation",
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
