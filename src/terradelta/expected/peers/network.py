"""The transformer of distmetrics: from chips of previous images to mean and log-variance of the next one.

The structure follows ``SpatioTemporalTransformer`` of distmetrics (Jet Propulsion Laboratory, Apache-2.0), so
that its weights fit; the code is our own. After the last layer only the tokens of the last date are used, so
that layer is computed for these alone: same output, less work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from terradelta.errors import InputError

__all__ = ["PeerNetwork", "TransformerConfig"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": functional.relu, "gelu": functional.gelu}
_THEIRS = {
    "patch_size": "patch",
    "input_size": "chip",
    "data_dim": "numbers",
    "d_model": "width",
    "nhead": "heads",
    "num_encoder_layers": "layers",
    "dim_feedforward": "hidden",
    "max_seq_len": "dates",
    "activation": "activation",
}
_FLOAT = 4


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the network.

    Attributes
    ----------
    patch : int
        Side of the square of pixels that makes one token.
    chip : int
        Side of the square that the network sees.
    numbers : int
        Of a token: bands * patch * patch.
    width, heads, layers, hidden : int
        Of the transformer's encoder.
    dates : int
        Most previous images.
    activation : str
        ``"relu"`` or ``"gelu"``.

    Raises
    ------
    InputError
        If the numbers do not fit each other.

    Examples
    --------
    >>> TransformerConfig(patch=8, chip=16, numbers=128, width=32, heads=4, layers=2, hidden=9, dates=9).bands
    2
    """

    patch: int
    chip: int
    numbers: int
    width: int
    heads: int
    layers: int
    hidden: int
    dates: int
    activation: str = "relu"

    def __post_init__(self) -> None:
        if self.chip % self.patch or self.numbers % self.patch**2 or self.width % self.heads:
            raise InputError(
                f"{self}: patch must divide chip, its square numbers, and heads must divide width"
            )
        if self.activation not in _ACTIVATIONS:
            raise InputError(f"activation is {self.activation!r}; give one of {', '.join(_ACTIVATIONS)}")

    @property
    def bands(self) -> int:
        """Bands of an image."""
        return self.numbers // self.patch**2

    @property
    def places(self) -> int:
        """Tokens of one date."""
        return (self.chip // self.patch) ** 2

    def chip_bytes(self, dates: int) -> int:
        """Estimate the memory that one chip of so many dates takes, attention included."""
        tokens = dates * self.places
        return _FLOAT * tokens * (8 * self.width + 2 * self.hidden + self.numbers + self.heads * tokens)

    @classmethod
    def from_published(cls, values: Mapping[str, Any]) -> TransformerConfig:
        """Take the content of a published ``config.json``.

        Raises
        ------
        InputError
            If a key is missing.
        """
        missing = [name for name in _THEIRS if name not in values]
        if missing:
            raise InputError(f"the configuration of the transformer lacks {missing[0]!r}")
        return cls(**{ours: values[theirs] for theirs, ours in _THEIRS.items()})


class _Layer(nn.Module):
    """One encoder layer, normalised after each part."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.activation = _ACTIVATIONS[config.activation]
        self.attend = nn.Linear(width, 3 * width)
        self.gather = nn.Linear(width, width)
        self.widen = nn.Linear(width, config.hidden)
        self.narrow = nn.Linear(config.hidden, width)
        self.first = nn.LayerNorm(width)
        self.second = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, last: int) -> Tensor:
        """Give the last so many tokens, each having attended to all; (chip, token, width)."""
        own = tokens[:, -last:]
        found = self.first(own + self.gather(self._attended(own, tokens)))
        wide = self.activation(self.widen(found))
        return self.second(found + self.narrow(wide))  # type: ignore[no-any-return]

    def _attended(self, own: Tensor, tokens: Tensor) -> Tensor:
        width = own.shape[-1]
        weight, bias = self.attend.weight, self.attend.bias
        query = functional.linear(own, weight[:width], bias[:width])
        key, value = functional.linear(tokens, weight[width:], bias[width:]).chunk(2, -1)
        heads = (self.heads, width // self.heads)
        query, key, value = (
            part.reshape(*part.shape[:2], *heads).transpose(1, 2) for part in (query, key, value)
        )
        return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


class PeerNetwork(nn.Module):
    """The network on chips.

    Parameters
    ----------
    config : TransformerConfig
        Its shape.

    References
    ----------
    Hardiman-Mostow, H., et al. (2025). Deep self-supervised disturbance mapping with Sentinel-1 OPERA RTC
    synthetic aperture radar. arXiv:2501.09129.

    Examples
    --------
    >>> small = TransformerConfig(patch=2, chip=4, numbers=8, width=8, heads=2, layers=1, hidden=8, dates=5)
    >>> mean, log_variance = PeerNetwork(small)(torch.zeros(3, 4, 2, 4, 4))
    >>> tuple(mean.shape), tuple(log_variance.shape)
    ((3, 2, 4, 4), (3, 2, 4, 4))
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Linear(config.numbers, config.width)
        self.place = nn.Parameter(torch.zeros(1, 1, config.places, config.width))
        self.date = nn.Parameter(torch.zeros(1, config.dates, 1, config.width))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.mean = _head(config)
        self.log_variance = _head(config)

    def forward(self, chips: Tensor) -> tuple[Tensor, Tensor]:
        """Expect the next image.

        Parameters
        ----------
        chips : Tensor
            (chip, time, band, y, x), logit of linear gamma0, oldest first, at most `dates` of them.

        Returns
        -------
        mean, log_variance : Tensor
            (chip, band, y, x), of the logit.
        """
        config = self.config
        dates = chips.shape[1]
        side = config.chip // config.patch
        squares = chips.reshape(*chips.shape[:3], side, config.patch, side, config.patch)
        tokens = squares.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(2, 3)
        tokens = self.embedding(tokens) + self.place + self.date[:, config.dates - dates :]
        tokens = tokens.flatten(1, 2)
        for number, layer in enumerate(self.layers, start=1):
            tokens = layer(tokens, config.places if number == config.layers else tokens.shape[1])
        tokens = tokens[:, -config.places :]
        return self._image(self.mean(tokens)), self._image(self.log_variance(tokens))

    def _image(self, tokens: Tensor) -> Tensor:
        """Lay tokens of one date side by side: (chip, band, y, x)."""
        config = self.config
        side = config.chip // config.patch
        squares = tokens.reshape(-1, side, side, config.bands, config.patch, config.patch)
        return squares.permute(0, 3, 1, 4, 2, 5).reshape(-1, config.bands, config.chip, config.chip)

    def load_published(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights under their published names.

        Raises
        ------
        InputError
            If names or shapes are not those of this network.
        """
        ours = {_our_name(name): value for name, value in weights.items()}
        try:
            self.load_state_dict(ours)
        except (RuntimeError, AttributeError, TypeError) as error:
            shape = ", ".join(f"{one.name} {getattr(self.config, one.name)}" for one in fields(self.config))
            raise InputError(f"the weights are not those of this transformer ({shape})") from error


def _head(config: TransformerConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(config.width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.numbers)
    )


_NAMES = (
    ("transformer_encoder.layers", "layers"),
    ("self_attn.in_proj_", "attend."),
    ("self_attn.out_proj", "gather"),
    ("linear1", "widen"),
    ("linear2", "narrow"),
    ("norm1", "first"),
    ("norm2", "second"),
    ("mean_out", "mean"),
    ("logvar_out", "log_variance"),
    ("spatial_pos_embed", "place"),
    ("temporal_pos_embed", "date"),
)


def _our_name(name: str) -> str:
    for theirs, ours in _NAMES:
        name = name.replace(theirs, ours)
    return name
