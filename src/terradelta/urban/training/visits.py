"""Which windows a visit to a tile looks at: some, spread over the period, drawn anew each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.urban.era import Era
from terradelta.windows import TimeWindow, complete, time_windows

__all__ = ["Visits", "visit_starts", "whole_windows"]


@dataclass(frozen=True)
class Visits:
    """How windows are drawn; all numbers count windows, one of which starts at every kept observation.

    Attributes
    ----------
    count : int
        Windows per visit.
    first : int
        Number of the first one, from 0.
    steps : tuple of int
        Least and largest step from one to the next, both included.

    Raises
    ------
    InputError
        If a number makes no sense.

    Examples
    --------
    >>> Visits().needed, Visits(count=3, first=0, steps=(2, 4)).needed
    (516, 9)
    """

    count: int = 10
    first: int = 20
    steps: tuple[int, int] = (45, 55)

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.count < 1:
            raise InputError(f"a visit of {self.count} windows sees nothing; give 1 or more")
        if self.first < 0:
            raise InputError(f"the first window of a visit is {self.first}; give 0 or more")
        if len(self.steps) != 2 or not 1 <= self.steps[0] <= self.steps[1]:
            raise InputError(
                f"steps between windows are {self.steps}; give the least (1 or more) and the largest"
            )

    @property
    def needed(self) -> int:
        """Windows that a series must have for every draw to fit."""
        return self.first + (self.count - 1) * self.steps[1] + 1

    def require(self, available: int, place: str) -> None:
        """Refuse a series that is too short.

        Parameters
        ----------
        available : int
            Windows that there are.
        place : str
            How the message begins.

        Raises
        ------
        InputError
            With what there is, what is needed, and what to do.
        """
        if available < self.needed:
            least, largest = self.steps
            raise InputError(
                f"{place} has {available} windows, but visits of {self.count} windows, {least} to {largest} "
                f"apart from number {self.first} on, need {self.needed}; give a longer period, fewer windows "
                "or shorter steps"
            )


def visit_starts(plan: Visits, generator: torch.Generator | None, available: int) -> tuple[int, ...]:
    """Draw the windows of one visit.

    Parameters
    ----------
    plan : Visits
        How many, from where on, how far apart.
    generator : torch.Generator or None
        Where random numbers come from; None: PyTorch's own.
    available : int
        Windows that there are.

    Returns
    -------
    tuple of int
        Their numbers, rising.

    Raises
    ------
    InputError
        If there are too few.

    Examples
    --------
    >>> starts = visit_starts(Visits(count=4, first=2, steps=(3, 5)), torch.Generator().manual_seed(1), 30)
    >>> starts[0], all(3 <= step <= 5 for step in np.diff(starts))
    (2, True)
    """
    plan.require(available, "the series")
    least, largest = plan.steps
    steps = torch.randint(least, largest + 1, (plan.count - 1,), generator=generator)
    return (plan.first, *(plan.first + steps.cumsum(0)).tolist())


def whole_windows(times: NDArray[np.datetime64], era: Era) -> list[TimeWindow]:
    """Give the windows of a series that have enough observations and are not cut short by its end.

    Parameters
    ----------
    times : ndarray of datetime64
        (time,) kept times.
    era : Era
        Length of a window, fewest and most observations.

    Returns
    -------
    list of TimeWindow
        One for every kept time at which there is one.

    Examples
    --------
    >>> from terradelta.urban.era import S1S2
    >>> days = np.datetime64("2020-01-01") + 4 * np.arange(100)
    >>> len(whole_windows(days, S1S2))
    54
    """
    every = time_windows(times, length=era.window, stride=1, fewest=era.fewest, most=era.most)
    return [window for window in every if complete(window, times, era.most)]
