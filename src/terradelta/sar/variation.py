"""Total-variation despeckling in decibel that never spreads missing values."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.native import compiled, in_threads
from terradelta.sar.decibel import as_float
from terradelta.types import BoolArray, FloatArray

__all__ = ["TV_HALO", "despeckle_tv"]

_BAND = 16 * 1024
_RELAXATION = 1.7
_Solver: TypeAlias = Callable[[FloatArray, FloatArray, float, float, int], None]

TV_HALO = 32
"""Pixels to read around a block so that its result equals that of the whole image within 1e-4 dB."""


def despeckle_tv(decibel: ArrayLike, weight: float = 0.2, *, iterations: int = 30) -> FloatArray:
    """Smooth speckle by total variation, each 2-D image on its own.

    Minimises ``sum h(|grad u|) + weight / 2 * sum (u - decibel)**2``: the smaller `weight`, the smoother, and
    edges stay. `h` is the total variation of Rudin, Osher and Fatemi, but softer below ``1 / weight`` dB, so
    that slopes do not become stairs: ``h'(d) = t / (1 + t)`` where ``t**2 / (1 + t) = 2 * weight * d``. In dB
    speckle is additive with the same spread everywhere, so one weight serves dark and bright ground. Missing
    pixels are filled from the nearest valid one before and masked again after.

    The solver is the over-relaxed primal-dual one of Chambolle, Pock and Condat with fixed steps: dual step
    ``weight``, primal step ``1 / (8 * weight)``, relaxation 1.7. The number of iterations is fixed, with no
    stop criterion over the whole image, and each carries a value one pixel further. Therefore a block read
    with a halo gives what the whole image gives: for `weight` 0.1 or more the largest difference is 2e-3 dB
    with a halo of 16 pixels, and rounding with 32. Thirty iterations are 6e-4 dB (root mean square) from the
    converged result at `weight` 0.2, 4e-4 dB at 0.5 and 6e-3 dB at 0.05; sixty are below 3e-4 dB.

    The step is compiled at the first use (0.03 s per megapixel and core); without a compiler NumPy does the
    same (0.4 s). Images are shared out over the processors, as many as ``OMP_NUM_THREADS`` says.

    Parameters
    ----------
    decibel : array_like
        Backscatter in dB, shape (..., y, x), for example (time, band, y, x). NaN and infinite
        values are no data.
    weight : float
        Fidelity to the data, positive; 0.2 suits 4 to 12 looks.
    iterations : int
        Steps of the solver, at least 1; a smaller `weight` needs more.

    Returns
    -------
    ndarray
        Smoothed dB, same shape, NaN exactly where the input had no data; float32 if the input is, else
        float64.

    Raises
    ------
    InputError
        If there are fewer than two dimensions, or `weight` or `iterations` is not positive.

    References
    ----------
    Rudin, L. I., Osher, S., & Fatemi, E. (1992). Nonlinear total variation based noise removal algorithms.
    Physica D, 60, 259-268.
    Chambolle, A., & Pock, T. (2011). A first-order primal-dual algorithm for convex problems with
    applications to imaging. Journal of Mathematical Imaging and Vision, 40, 120-145.
    Condat, L. (2013). A primal-dual splitting method for convex optimization involving Lipschitzian,
    proximable and linear composite terms. Journal of Optimization Theory and Applications, 158, 460-479.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> noisy = rng.normal(-12.0, 2.0, (32, 32))
    >>> noisy[0, 0] = np.nan
    >>> smooth = despeckle_tv(noisy)
    >>> bool(np.nanstd(smooth) < 0.4 * np.nanstd(noisy)), int(np.isnan(smooth).sum())
    (True, 1)
    """
    values = as_float(decibel, "decibel")
    if values.ndim < 2:
        raise InputError(f"decibel has shape {values.shape}; give images of shape (..., y, x)")
    if not (weight > 0 and np.isfinite(weight)):
        raise InputError(f"weight is {weight}; give a positive number, for example 0.2")
    if iterations < 1:
        raise InputError(f"iterations is {iterations}; give at least 1")
    smooth = np.empty(values.shape, values.dtype)
    fill, solve = _Nearest(), _compiled_solver() or _solve

    def one(index: tuple[int, ...]) -> None:
        _smooth_one(values[index], smooth[index], fill, solve, weight, iterations)

    in_threads(one, list(np.ndindex(values.shape[:-2])))
    return smooth


def _smooth_one(
    image: FloatArray, out: FloatArray, fill: _Nearest, solve: _Solver, weight: float, iterations: int
) -> None:
    valid = np.isfinite(image)
    whole = bool(valid.all())
    if not valid.any():
        out[...] = np.nan
        return
    filled = np.ascontiguousarray(image) if whole else fill(image, valid)
    # the solver keeps the mean, so a centred image loses less to rounding in float32
    solve(filled, out, float(filled.mean(dtype=np.float64)), weight, iterations)
    if not whole:
        out[~valid] = np.nan


class _Nearest:
    """Fills missing pixels from the nearest valid one; images with equal holes share the search."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[NDArray[np.intp], ...]] = {}

    def __call__(self, image: FloatArray, valid: BoolArray) -> FloatArray:
        key = np.packbits(valid).tobytes()
        places = self._known.get(key)
        if places is None:
            nearest = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
            places = self._known[key] = tuple(part[~valid] for part in nearest)
        filled = np.array(image, order="C")
        filled[~valid] = image[places]
        return filled


@cache
def _compiled_solver() -> _Solver | None:
    """Load the compiled solver, if there is one."""
    library = compiled("terradelta.sar", "variation.cpp")
    if library is None:
        return None
    functions: dict[np.dtype[Any], Any] = {
        np.dtype(name): getattr(library, f"td_variation_{name}") for name in ("float32", "float64")
    }
    size, real, pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
    for function in functions.values():
        function.argtypes = (pointer, pointer, size, size, real, real, ctypes.c_int32)

    def solve(image: FloatArray, out: FloatArray, mean: float, weight: float, iterations: int) -> None:
        function = functions[image.dtype]
        if function(image.ctypes.data, out.ctypes.data, *image.shape, mean, weight, iterations):
            raise MemoryError(f"there is no memory to smooth an image of {image.shape}")

    return solve


def _solve(image: FloatArray, out: FloatArray, mean: float, weight: float, iterations: int) -> None:
    """Do what ``variation.cpp`` does, some rows at a time: these stay in the processor's cache."""
    state = _State(image, mean, weight)
    rows = max(_BAND // max(image.shape[1], 1), 1)
    bands = -(-image.shape[0] // rows)
    # step k treats a band once step k - 1 has treated the one below it
    for front in range(bands + iterations - 1):
        for step in range(max(0, front - bands + 1), min(iterations, front + 1)):
            first = (front - step) * rows
            state.step(first, min(first + rows, image.shape[0]))
    np.add(state.u, state.mean, out=out)


class _State:
    """Image and dual field between two steps; the field has a row of zeros above and a column on the left."""

    def __init__(self, image: FloatArray, mean: float, weight: float) -> None:
        kind = image.dtype.type
        self.mean, self._weight, self._relaxation = kind(mean), kind(weight), kind(_RELAXATION)
        self.image = image - self.mean
        self.u, self._ahead = self.image.copy(), self.image.copy()
        rows, columns = image.shape
        self._x, self._y = np.zeros((rows, columns + 1), kind), np.zeros((rows + 1, columns), kind)

    def step(self, first: int, end: int) -> None:
        """Do one step for some rows."""
        here, v = np.s_[first:end], self._ahead
        x, y = self._x[here, 1:], self._y[first + 1 : end + 1]
        qx, qy = x.copy(), y.copy()
        qx[:, :-1] += v[here, 1:] - v[here, :-1]
        below = min(end + 1, len(v))
        qy[: below - first - 1] += v[first + 1 : below] - v[first : below - 1]
        length = np.sqrt(qx * qx + qy * qy) * self._weight
        scale = 2 / (1 + length + np.sqrt(1 + length * length))
        x += self._relaxation * (qx * scale - x)
        y += self._relaxation * (qy * scale - y)
        divergence = x - self._x[here, :-1] + y - self._y[here]
        change = (self.image[here] - self.u[here] + divergence) / 9
        v[here] = self.u[here] + 2 * change
        self.u[here] += self._relaxation * change
