"""What is to be simulated: kind, strength, number and outline of the changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

from terradelta.errors import InputError
from terradelta.simulate.injected.polygons import check_polygon

__all__ = ["Kind", "MappingName", "Recipe", "SuperpixelRule", "TextureSource"]

Kind: TypeAlias = Literal["offset", "statistical", "gaussian", "texture"]
SuperpixelRule: TypeAlias = Literal["published", "connected", "none"]
MappingName: TypeAlias = Literal["quantile", "published", "kernel"]
TextureSource: TypeAlias = Literal["outside", "anywhere"]
PerBand: TypeAlias = float | tuple[float, ...]

_CHOICES = {
    "kind": Kind,
    "superpixels": SuperpixelRule,
    "mapping": MappingName,
    "texture_from": TextureSource,
}


@dataclass(frozen=True)
class Recipe:
    """Settings of simulated changes.

    Attributes
    ----------
    kind : {"offset", "statistical", "gaussian", "texture"}
        A constant is added; the distribution of the ground becomes that of target pixels; values are drawn
        anew from a normal distribution; values are copied from elsewhere in the image.
    offset : float or tuple of float
        dB that ``offset`` adds; one for all bands or one per band.
    count : tuple of int
        Smallest and largest number of changes in an image, drawn evenly.
    box, corners, irregularity, spikiness
        Outline of a change, as in `random_polygon`; box in whole pixels.
    superpixels : {"connected", "published", "none"}
        Which neighbouring pixels of equal values change together: true 4-connected components, the row scan
        of the published program, or none.
    mask_says : bool
        The saved mask is what really changed. False, as published: the mask before whole superpixels.
    mapping : {"quantile", "published", "kernel"}
        How ``statistical`` maps: always finite, as published, or by kernel densities.
    gaussian_shift, gaussian_spread
        ``gaussian`` keeps mean and standard deviation of the change's pixels but for this shift (dB; one for
        all bands or one per band) and this factor.
    texture_from : {"outside", "anywhere"}
        Where ``texture`` copies from: as far as can be outside the allowed ground, or anywhere.
    texture_tries : int
        How many displacements are tried; that with the most usable pixels is taken.

    Raises
    ------
    InputError
        If a value is out of range; the message names it.

    Notes
    -----
    Offset and statistical change: Alatalo et al. 2023 (IEEE TGRS 61). Gaussian change and copied texture:
    after Inglada and Mercier 2007, "A New Statistical Similarity Measure for Change Detection in
    Multitemporal SAR Images and Its Extension to Multiscale Change Analysis" (IEEE TGRS 45, 5); shift,
    factor and the choice of the displacement are ours, and so is that they work on dB.

    Examples
    --------
    >>> Recipe(kind="offset", offset=(-2.5, -3.0)).to_dict()["offset"]
    [-2.5, -3.0]
    """

    kind: Kind = "offset"
    offset: PerBand = -2.5
    count: tuple[int, int] = (0, 3)
    box: int = 100
    corners: int = 16
    irregularity: float = 0.35
    spikiness: float = 0.2
    superpixels: SuperpixelRule = "connected"
    mask_says: bool = True
    mapping: MappingName = "quantile"
    gaussian_shift: PerBand = 0.0
    gaussian_spread: float = 2.0
    texture_from: TextureSource = "outside"
    texture_tries: int = 64

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), get_args(choices))
        for name in ("offset", "gaussian_shift"):
            object.__setattr__(self, name, _per_band(name, getattr(self, name)))
        object.__setattr__(self, "count", _checked_count(self.count))
        check_polygon(self.box, self.corners, self.irregularity, self.spikiness)
        if not isinstance(self.mask_says, bool):
            raise InputError(f"mask_says is {self.mask_says!r}; give True or False")
        if not (math.isfinite(self.gaussian_spread) and self.gaussian_spread >= 0):
            raise InputError(f"gaussian_spread is {self.gaussian_spread!r}; give a factor from 0 on")
        for name in ("box", "texture_tries"):
            if not (_whole(getattr(self, name)) and getattr(self, name) >= 1):
                raise InputError(f"{name} is {getattr(self, name)!r}; give a whole number of at least 1")

    @classmethod
    def published(cls, kind: Literal["offset", "statistical"] = "statistical", **settings: Any) -> Recipe:
        """Give the settings of the published program.

        Its statistical change takes whole superpixels of the row scan and saves the mask before that; its
        offset follows the mask exactly.

        Parameters
        ----------
        kind : {"statistical", "offset"}
            The two kinds it knows.
        **settings
            Other attributes.

        Returns
        -------
        Recipe

        Raises
        ------
        InputError
            If it knows no such kind, or a setting is wrong.

        Examples
        --------
        >>> Recipe.published().mapping
        'published'
        """
        _check_choice("kind", kind, ("offset", "statistical"))
        rule: SuperpixelRule = "published" if kind == "statistical" else "none"
        settings = {"superpixels": rule, "mask_says": kind == "offset", "mapping": "published", **settings}
        return cls.from_dict({"kind": kind, **settings})

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Recipe:
        """Take settings as `to_dict` gives them; missing ones have their defaults.

        Parameters
        ----------
        settings : mapping
            Attribute to value; lists are taken as tuples.

        Returns
        -------
        Recipe

        Raises
        ------
        InputError
            If a key is unknown or a value is out of range.

        Examples
        --------
        >>> Recipe.from_dict({"count": [1, 1]}).count
        (1, 1)
        """
        known = [each.name for each in fields(cls)]
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise InputError(f"recipe has no setting {unknown[0]!r}; give one of {', '.join(known)}")
        taken: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
        return cls(**taken)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} is {value!r}; give one of {', '.join(choices)}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _per_band(name: str, value: Any) -> PerBand:
    numbers = value if isinstance(value, tuple | list) else (value,)
    try:
        decibels = tuple(float(each) for each in numbers)
    except (TypeError, ValueError):
        decibels = ()
    if not decibels or not all(map(math.isfinite, decibels)):
        raise InputError(f"{name} is {value!r}; give a number in dB or one per band")
    return decibels if isinstance(value, tuple | list) else decibels[0]


def _checked_count(value: Any) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, tuple | list) else (value,)
    if len(pair) != 2 or not all(map(_whole, pair)) or not 0 <= pair[0] <= pair[1]:
        raise InputError(f"count is {value!r}; give the smallest and largest number of changes, as (0, 3)")
    return pair
