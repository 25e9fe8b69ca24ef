"""What the published network is built of, as typed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from terradelta.errors import ConfigError
from terradelta.expected.conditions import GROUPS, WEATHER

__all__ = ["Convolution", "Stage", "StageKind", "UNetConfig"]

StageKind: TypeAlias = Literal["plain", "residual"]
"""A plain stage is one strided convolution; a residual one has blocks at full size before it."""

_SIZES = (4, 512)  # pixels on a side, of the presets
_T = TypeVar("_T", "Convolution", "Stage")


@dataclass(frozen=True)
class Convolution:
    """A convolution of stride 1 before or after the network.

    Attributes
    ----------
    filters : int
        Channels out.
    kernel : int
        Pixels on a side.
    """

    filters: int
    kernel: int = 3

    def __post_init__(self) -> None:
        _at_least(self, 1, "filters", "kernel")


@dataclass(frozen=True)
class Stage:
    """One halving (encoder) or doubling (decoder) of the resolution.

    Attributes
    ----------
    filters : int
        Channels out.
    kernel : int
        Pixels on a side: of the strided convolution of a plain stage, of the first convolution of each block
        of a residual one, whose strided convolution is always 2 × 2.
    kind : {"plain", "residual"}
        Convolution, normalisation and ReLU; or residual blocks, normalisation and convolution.
    blocks : int
        Residual blocks; 1 for a plain stage.
    multiplier : int
        How much wider the inside of a residual block is.

    Raises
    ------
    ConfigError
        A number is too small, or the kind is unknown.

    Examples
    --------
    >>> Stage(64, 7, "residual", blocks=2).multiplier
    3
    """

    filters: int
    kernel: int = 4
    kind: StageKind = "plain"
    blocks: int = 1
    multiplier: int = 3

    def __post_init__(self) -> None:
        _at_least(self, 1, "filters", "kernel", "blocks", "multiplier")
        if self.kind not in get_args(StageKind):
            raise ConfigError(f"no stage is {self.kind!r}; choose from {', '.join(get_args(StageKind))}")
        if self.kind == "plain":
            _at_least(self, 2, "kernel")
            if self.blocks != 1:
                raise ConfigError(f"a plain stage has {self.blocks} blocks; give 1, or kind 'residual'")


@dataclass(frozen=True)
class UNetConfig:
    """Architecture of a `UNet`, and what it is told.

    Attributes
    ----------
    encoder : tuple of Stage
        From the image down to one pixel: n stages read images of 2 ** n pixels on a side, `size`.
    decoder : tuple of Stage
        Back up to half the size: n - 1 stages; a last transposed convolution makes the image.
    front, back : tuple of Convolution
        Convolutions without activation before the encoder, and between the decoder and the last one.
    skips : tuple of bool, optional
        Whether the output of encoder stage 1, 2, ..., n - 2 is joined to the decoder at the same size; all,
        if not given. The finest output (stage 0) and the bottleneck never are. The published code's text of
        flags has one more in front, which does nothing.
    dropout : float
        Share of values that a dropout layer drops in training.
    dropout_stages : int
        Decoder stages with such a layer, from the bottleneck up.
    last_kernel : int
        Of the last transposed convolution.
    stochastic_depth : float
        How often the last residual stage leaves its branches out in training; earlier stages do it in
        proportion to their position.
    stochastic_depth_as_published : bool
        Drop and scale the shortcut instead of the branch, as the published code does by mistake.
    without : tuple of str
        Groups of conditions that the network is not told (ablation).
    weather : bool
        Whether it is told temperature, snow and precipitation; if not, `without` has no effect, as published.

    Raises
    ------
    ConfigError
        A number is out of range, the stages do not fit each other, or a group of conditions is unknown.

    Examples
    --------
    >>> UNetConfig.code_default().size, [stage.filters for stage in UNetConfig.tiny(16).decoder]
    (512, [8, 8, 8])
    """

    encoder: tuple[Stage, ...]
    decoder: tuple[Stage, ...]
    front: tuple[Convolution, ...] = ()
    back: tuple[Convolution, ...] = ()
    skips: tuple[bool, ...] | None = None
    dropout: float = 0.3
    dropout_stages: int = 3
    last_kernel: int = 4
    stochastic_depth: float = 0.0
    stochastic_depth_as_published: bool = False
    without: tuple[str, ...] = ()
    weather: bool = True

    def __post_init__(self) -> None:
        count = len(self.encoder)
        if count < 2:
            raise ConfigError(f"the encoder has {count} stages; give 2 or more")
        if len(self.decoder) != count - 1:
            raise ConfigError(
                f"the decoder has {len(self.decoder)} stages; give {count - 1}, one less than the encoder"
            )
        skips = (True,) * (count - 2) if self.skips is None else tuple(bool(each) for each in self.skips)
        if len(skips) != count - 2:
            raise ConfigError(
                f"{len(skips)} skips are given; give {count - 2}, two less than the encoder's {count} stages"
            )
        object.__setattr__(self, "skips", skips)
        for name in ("encoder", "decoder", "front", "back", "without"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("dropout", "stochastic_depth"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < 1:
                raise ConfigError(f"{name} is {value!r}; give a share from 0 to below 1")
        _at_least(self, 0, "dropout_stages")
        _at_least(self, 2, "last_kernel")
        for group in self.without:
            if group not in GROUPS:
                raise ConfigError(f"without names {group!r}; conditions are {', '.join(GROUPS)}")

    @property
    def size(self) -> int:
        """Pixels on a side of every image."""
        return int(2 ** len(self.encoder))

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of conditions that the network is told."""
        if not self.weather:
            return tuple(group for group in GROUPS if group not in WEATHER)
        return tuple(group for group in GROUPS if group not in self.without)

    @classmethod
    def code_default(cls, size: int = 512, **changes: Any) -> UNetConfig:
        """Give the default of the published code: decoder 512 × 5, 256, 128, 64 filters.

        Parameters
        ----------
        size : int
            Pixels on a side, a power of two from 4 to 512. Smaller ones leave out stages of 512 filters
            first.
        **changes
            Any attribute, to give instead.
        """
        return cls._preset(size, [64, 128, 256], 512, [256, 128, 64], changes)

    @classmethod
    def paper(cls, size: int = 512, **changes: Any) -> UNetConfig:
        """Give Table I of the paper: decoder 512 × 6, 256, 128 filters; arguments as in `code_default`."""
        return cls._preset(size, [64, 128, 256], 512, [256, 128], changes)

    @classmethod
    def tiny(cls, size: int = 512, **changes: Any) -> UNetConfig:
        """Give the same structure with 8 filters everywhere; arguments as in `code_default`."""
        return cls._preset(size, [], 8, [], changes)

    @classmethod
    def _preset(
        cls, size: int, first: list[int], deep: int, last: list[int], changes: Mapping[str, Any]
    ) -> UNetConfig:
        stages = _stages_of(size)
        down = [*first, *[deep] * stages][:stages]
        up = [*[deep] * stages, *last][1 - stages :]
        encoder = [Stage(filters, 2 if number == stages - 1 else 4) for number, filters in enumerate(down)]
        parts = {"encoder": tuple(encoder), "decoder": tuple(Stage(filters) for filters in up)}
        return cls(**{**parts, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, fit for JSON."""
        lists = {"skips", "without", "encoder", "decoder", "front", "back"}
        return {name: list(value) if name in lists else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> UNetConfig:
        """Undo `to_dict`; also takes ``preset`` (and ``size``) with any further keys that replace its values.

        Raises
        ------
        ConfigError
            A key is unknown or missing, or a value is out of range.

        Examples
        --------
        >>> config = UNetConfig.from_dict({"preset": "tiny", "size": 32, "dropout": 0.0})
        >>> UNetConfig.from_dict(config.to_dict()) == config
        True
        """
        read = dict(values)
        presets = {"paper": cls.paper, "code_default": cls.code_default, "tiny": cls.tiny}
        preset, size = read.pop("preset", None), read.pop("size", 512)
        if preset is not None and preset not in presets:
            raise ConfigError(f"no preset is called {preset!r}; choose from {', '.join(presets)}")
        _known(cls, read, "a network", ("preset", "size"))
        for name, kind in (
            ("encoder", Stage),
            ("decoder", Stage),
            ("front", Convolution),
            ("back", Convolution),
        ):
            if name in read:
                read[name] = _parts(kind, read[name], name)
        if preset is not None:
            return presets[preset](size, **read)
        if "encoder" not in read or "decoder" not in read:
            raise ConfigError("the network has no encoder or no decoder; give both, or a preset")
        return cls(**read)


def _stages_of(size: int) -> int:
    """Count the halvings from a size to one pixel.

    Raises
    ------
    ConfigError
        The size is no power of two within the presets' range.
    """
    least, most = _SIZES
    if isinstance(size, bool) or not isinstance(size, int) or not least <= size <= most or size & (size - 1):
        raise ConfigError(f"size is {size!r}; give a power of two from {least} to {most}")
    return size.bit_length() - 1


def _parts(kind: type[_T], values: Sequence[Mapping[str, Any]], name: str) -> tuple[_T, ...]:
    for value in values:
        if not isinstance(value, kind | Mapping):
            raise ConfigError(f"{name} holds {value!r}; give filters and kernel by name")
        if isinstance(value, Mapping):
            _known(kind, value, f"a part of {name}", ())
            if "filters" not in value:
                raise ConfigError(f"a part of {name} has no filters; give their number")
    return tuple(value if isinstance(value, kind) else kind(**value) for value in values)


def _known(kind: Any, values: Mapping[str, Any], what: str, more: tuple[str, ...]) -> None:
    names = [*(one.name for one in fields(kind)), *more]
    for name in values:
        if name not in names:
            raise ConfigError(f"{what} has no {name!r}; its keys are {', '.join(names)}")


def _at_least(part: object, least: int, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} is {value!r}; give a whole number, {least} or more")
