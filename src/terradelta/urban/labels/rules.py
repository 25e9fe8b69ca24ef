"""What synthetic labels are made with: parameters of the two eras, correct and as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from terradelta.errors import InputError
from terradelta.optical import LANDSAT5, SENTINEL2, Bands
from terradelta.urban.era import Era, era_of

__all__ = ["RULES", "LabelRule", "rule_of"]


@dataclass(frozen=True)
class LabelRule:
    """How a synthetic label is made of radar and optical images.

    Attributes
    ----------
    looks : float
        Equivalent number of looks of the radar images, at least 1.
    significance : float
        P-value of the omnibus test of a window at or below which something changed in it, which is also the
        rate of false alarms; as published: p-value of each step.
    gain : float
        What the product of both signals is multiplied by, above 0.
    shift : float
        α of ENDISI, 0..1, which depends on the place; see `terradelta.optical.suggest_shift`.
    bands : Bands
        Where ENDISI finds its bands in the optical images.
    as_published : bool
        The variant behind the published weights: its omnibus test, its activity, its treatment of missing
        values.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> from dataclasses import replace
    >>> replace(rule_of("s1s2"), shift=0.5).shift
    0.5
    """

    looks: float
    significance: float
    gain: float
    shift: float
    bands: Bands = SENTINEL2
    as_published: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.looks < float("inf"):
            raise InputError(f"looks is {self.looks}; give the equivalent number of looks, at least 1")
        if not 0 < self.significance < 1:
            raise InputError(f"significance is {self.significance}; give a probability between 0 and 1")
        if not 0 < self.gain < float("inf"):
            raise InputError(f"gain is {self.gain}; give a number above 0, for example 3")
        if not 0 <= self.shift <= 1:
            raise InputError(f"shift is {self.shift}; give a number from 0 to 1, for example 0.25")


RULES: Mapping[str, LabelRule] = MappingProxyType(
    {
        "s1s2": LabelRule(looks=4.0, significance=0.01, gain=3.0, shift=0.25, bands=SENTINEL2),
        "ers12ls5": LabelRule(looks=3.0, significance=0.1, gain=3.0, shift=0.25, bands=LANDSAT5),
    }
)
"""Default rule by the name of the era."""

_PUBLISHED: Mapping[str, LabelRule] = MappingProxyType(
    {
        "s1s2": replace(RULES["s1s2"], significance=0.001, gain=10.0, as_published=True),
        "ers12ls5": replace(RULES["ers12ls5"], gain=30.0, as_published=True),
    }
)


def rule_of(era: Era | str, *, as_published: bool = False) -> LabelRule:
    """Give the rule of an era; change single values with `dataclasses.replace`.

    Parameters
    ----------
    era : Era or str
        A known era or its name.
    as_published : bool
        The variant that the published weights were trained with.

    Returns
    -------
    LabelRule
        With the shift 0.25; a place may need another.

    Raises
    ------
    InputError
        If the era is not one of `RULES`.

    Examples
    --------
    >>> rule_of("s1s2").gain, rule_of("s1s2", as_published=True).gain
    (3.0, 10.0)
    """
    name = era_of(era).name
    if name not in RULES:
        raise InputError(
            f"the era {name!r} has no rule for labels; give a LabelRule of your own, known are "
            f"{', '.join(RULES)}"
        )
    return (_PUBLISHED if as_published else RULES)[name]
