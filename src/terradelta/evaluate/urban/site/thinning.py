"""A cube with fewer observations, as after the loss of a satellite."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.cube.reading import pick_images
from terradelta.errors import InputError

__all__ = ["Sensors", "thin"]

Sensors: TypeAlias = Literal["sar", "optical", "all"]
"""Whose observations are left out."""

_GROUPS = ("sar", "optical")


def thin(cube: xr.DataTree, share: float, what: Sensors = "all", *, seed: int = 0) -> xr.DataTree:
    """Leave out a share of the observations, drawn at random.

    Of a cube on disk no pixel is read. Of one seed, what a smaller share leaves out a larger one leaves out
    too; what is left out of one sensor does not depend on whether the other one loses some as well.

    Parameters
    ----------
    cube : xarray.DataTree
        The place; it stays as it is.
    share : float
        Of the radar, the optical, or of each of both kinds of observations; from 0 to below 1.
    what : {"sar", "optical", "all"}
        Which.
    seed : int
        Which draw.

    Returns
    -------
    xarray.DataTree
        The place with the rest.

    Raises
    ------
    InputError
        If the share is out of range, or `what` unknown.

    References
    ----------
    Zitzlsberger, G., & Podhoranyi, M., arXiv:2309.08607 (loss of observations).

    Examples
    --------
    >>> from terradelta.simulate import place
    >>> cube = place(seed=0, size=32, years=0.5, changes=0, optical_days=10)
    >>> less = thin(cube, 0.5, "optical")
    >>> len(cube["optical"].time), len(less["optical"].time), len(cube["sar"].time) == len(less["sar"].time)
    (17, 9, True)
    """
    if not 0 <= share < 1:
        raise InputError(f"a share of {share:g} cannot be left out; give one from 0 to below 1, such as 0.5")
    if what not in get_args(Sensors):
        raise InputError(f"what is {what!r}; choose from {', '.join(get_args(Sensors))}")
    less = cube.copy(deep=False)
    for number, group in enumerate(_GROUPS):
        if what in (group, "all") and group in cube.children:
            data = cube[group].to_dataset()
            less[group].dataset = pick_images(data, _kept(data.sizes["time"], share, [seed, number]))
    return less


def _kept(count: int, share: float, seed: list[int]) -> NDArray[np.intp]:
    """Give the places of the observations that stay, in order."""
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[round(share * count) :])
