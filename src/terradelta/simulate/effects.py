"""Which physical effects a simulated place shows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from terradelta.errors import InputError

__all__ = ["Effects"]


@dataclass(frozen=True)
class Effects:
    """Which physical effects a place shows; all but the edges by default.

    Attributes
    ----------
    incidence, terrain, moisture, frost, snow, foliage, crops : bool
        On or off; each is described at its function in `ground`, `plants`, `sensor` and `speckle`.
    satellite, gain, wind, points, noise, speckle : bool
        Likewise.
    edges : bool
        Bright fronts and shadows at the borders of forest, described in `edges`. Off by default, so that
        a seed gives the image that it always gave.

    Examples
    --------
    >>> Effects.only("speckle").speckle, Effects.only("speckle").terrain
    (True, False)
    >>> Effects().without("speckle", "noise").noise
    False
    >>> Effects().including("edges").edges
    True
    """

    incidence: bool = True
    terrain: bool = True
    moisture: bool = True
    frost: bool = True
    snow: bool = True
    foliage: bool = True
    crops: bool = True
    satellite: bool = True
    gain: bool = True
    wind: bool = True
    points: bool = True
    noise: bool = True
    speckle: bool = True
    edges: bool = False

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Give the names of all effects."""
        return tuple(each.name for each in fields(cls))

    @classmethod
    def only(cls, *names: str) -> Effects:
        """Switch on these effects and no other (none at all without a name).

        Raises
        ------
        InputError
            If a name is unknown.
        """
        cls._check(names)
        return cls(**{name: name in names for name in cls.names()})

    def including(self, *names: str) -> Effects:
        """Switch these effects on, too.

        Raises
        ------
        InputError
            If a name is unknown.
        """
        self._check(names)
        return replace(self, **dict.fromkeys(names, True))

    def without(self, *names: str) -> Effects:
        """Switch these effects off.

        Raises
        ------
        InputError
            If a name is unknown.
        """
        self._check(names)
        return replace(self, **dict.fromkeys(names, False))

    @classmethod
    def _check(cls, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in cls.names():
                raise InputError(f"no effect is called {name!r}; choose from {', '.join(cls.names())}")
