"""The numbers of the robust method, each with its default in this one place."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RobustParameters"]


@dataclass(frozen=True)
class RobustParameters:
    """Settings of the robust temporal method.

    Attributes
    ----------
    history : int
        Previous images of the same orbit that the expected image is the mean of.
    fewest : int
        Valid previous images that a pixel needs at least.
    tv_weight : float
        Fidelity of the total-variation despeckling in dB; smaller is smoother.
    tv_iterations : int
        Sweeps of its solver.
    degree : int
        Degree of the polynomial in the cover that describes the state of a scene.
    cutoff : float
        Tukey's constant: residuals beyond this many scales take no part in that regression.
    fit_iterations : int
        Reweightings of the regression.
    floor : float
        Least standard deviation, dB, added in quadrature.
    smoothing : float
        Standard deviation in pixels of the Gaussian that smooths the variance.
    regularisation : float
        Fidelity of the total variation that the standardised difference gets; 0 leaves it as it is.

    Examples
    --------
    >>> RobustParameters(history=6).history
    6
    """

    history: int = 10
    fewest: int = 4
    tv_weight: float = 0.2
    tv_iterations: int = 30
    degree: int = 2
    cutoff: float = 2.5
    fit_iterations: int = 8
    floor: float = 0.6
    smoothing: float = 2.0
    regularisation: float = 0.2
