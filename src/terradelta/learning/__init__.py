"""What all trainings share: the loop with checkpoints and devices, the run folder, model files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.learning.files import load_model, save_model
    from terradelta.learning.fitting import FitResult, fit, seeded
    from terradelta.learning.loading import make_loader
    from terradelta.learning.log import Log, read_log
    from terradelta.learning.options import TrainingOptions
    from terradelta.learning.run import Run
    from terradelta.learning.stopping import TrainingStopped

_HOME = {
    "FitResult": "fitting",
    "Log": "log",
    "Run": "run",
    "TrainingOptions": "options",
    "TrainingStopped": "stopping",
    "fit": "fitting",
    "load_model": "files",
    "make_loader": "loading",
    "read_log": "log",
    "save_model": "files",
    "seeded": "fitting",
}

__all__ = [
    "FitResult",
    "Log",
    "Run",
    "TrainingOptions",
    "TrainingStopped",
    "fit",
    "load_model",
    "make_loader",
    "read_log",
    "save_model",
    "seeded",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
