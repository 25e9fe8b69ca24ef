"""What `terradelta predict` can be told."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from terradelta.workflows.config.base import Bytes, Names, Scheduler, Settings, Written

__all__ = ["Moment", "PredictSettings", "parse_moment"]

_CASES = ("direction", "dry", "rain", "all")


def parse_moment(value: Any) -> Any:
    """Read a date, a moment or ``last``.

    Raises
    ------
    ValueError
        If the text is none of them.

    Examples
    --------
    >>> parse_moment("2024-07-06"), parse_moment("20240706T053012"), parse_moment("last")
    ('2024-07-06', '2024-07-06T05:30:12', 'last')
    """
    if isinstance(value, date):
        value = value.isoformat()
    if not isinstance(value, str) or value == "last":
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(
            "no date; write for example 2024-07-06, 2024-07-06T05:30:12 (UTC), or last"
        ) from None
    plain = len(value) <= len("2024-07-06")
    return moment.date().isoformat() if plain else moment.isoformat()


def _check_cases(names: list[str]) -> list[str]:
    for name in names:
        if name not in _CASES:
            raise ValueError(f"no change is called {name!r}; give {', '.join(_CASES)}")
    return names


Moment = Annotated[str, BeforeValidator(parse_moment), Written("<date>")]
Cases = Annotated[Names, AfterValidator(_check_cases), Written("<direction|dry|rain|all>")]


class PredictSettings(Settings):
    """Tell what an acquisition should have looked like if nothing had changed, and how it differs."""

    run: Path = Field(description="Trained model: the folder of a training run, or of save_pretrained.")
    cube: Path = Field(description="Cube to read.")
    out: Path = Field(description="Folder for the results.")
    time: Moment = Field("last", description="The acquisition: its date, its moment (UTC), or 'last'.")
    same_orbit: bool | None = Field(
        None,
        description="Previous images of the same relative orbit only; empty: as the model was trained.",
    )
    what_if: Cases = Field(
        [],
        description="Also predict under changed conditions: direction (the other orbit direction), dry (no "
        "rain), rain (heavy rain), or all.",
    )
    rain: float = Field(20.0, gt=0, description="Heavy rain of what_if, mm on the day.")
    block: int | None = Field(
        None, ge=1, description="Pixels on a side of what the network sees at once; empty: what fits."
    )
    overlap: int | None = Field(
        None, ge=0, description="Pixels over which blocks are blended; empty: as the network needs."
    )
    neighbourhood: int = Field(
        1024,
        ge=32,
        description="Pixels between the places where the state of a scene is fitted, blended between.",
    )
    memory: Bytes = Field(
        "2 GB",  # type: ignore[assignment]  # read by Bytes
        ge=2**28,
        description="Memory to stay within.",
    )
    device: str | None = Field(
        None, description="Where the network runs, for example cpu or cuda; empty: a GPU if there is one."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Numbers of the network's convolutions; bfloat16 is faster where the processor or GPU "
        "has it built in, and changes values a little.",
    )
    scheduler: Scheduler = None
    overwrite: bool = Field(False, description="Replace results of other settings or inputs.")
