"""Labels to train with: synthetic ones from the data itself, and weak ones from a person.

Modules load with the first name that needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from terradelta.urban.labels.rules import RULES, LabelRule, rule_of
    from terradelta.urban.labels.series import label_windows, synthetic_labels
    from terradelta.urban.labels.store import labelled_stack, open_labels
    from terradelta.urban.labels.synthetic import (
        change_activity,
        label_of_means,
        label_of_window,
        mean_frame,
        synthetic_label,
        window_activity,
    )
    from terradelta.urban.labels.weak import WeakLabels

_HOMES = {
    "rules": ("RULES", "LabelRule", "rule_of"),
    "series": ("label_windows", "synthetic_labels"),
    "store": ("labelled_stack", "open_labels"),
    "synthetic": (
        "change_activity",
        "label_of_means",
        "label_of_window",
        "mean_frame",
        "synthetic_label",
        "window_activity",
    ),
    "weak": ("WeakLabels",),
}
_WHERE = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "RULES",
    "LabelRule",
    "WeakLabels",
    "change_activity",
    "label_of_means",
    "label_of_window",
    "label_windows",
    "labelled_stack",
    "mean_frame",
    "open_labels",
    "rule_of",
    "synthetic_label",
    "synthetic_labels",
    "window_activity",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
