"""The running state of the omnibus test for a strip of pixels, small enough to stay in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from terradelta.sar._omnibus_statistics import Float64Array, series_p_values, step_p_values, step_thresholds

_TINY = np.finfo(np.float64).tiny


class Pixels:
    """Sums since the last change, counts and dates of `size` pixels; one `update` per image."""

    def __init__(self, size: int, bands: int, looks: float, significance: float) -> None:
        self.bands, self.looks, self.significance = bands, looks, significance
        self.sums = np.zeros((bands, size))
        self.log_of_sums = np.full(size, -np.inf)
        self.count = np.zeros(size, np.intp)
        self.closed_sums = np.zeros((bands, size))
        self.closed_count = np.zeros(size, np.intp)
        self.log_products = np.zeros(size)
        self.changes = np.zeros(size, np.uint16)
        self.first = np.full(size, -1, np.int32)
        self.last = np.full(size, -1, np.int32)
        self.step = -1

    def update(
        self, values: NDArray[Any], p_values: bool = False
    ) -> tuple[NDArray[np.intp], Float64Array | None]:
        """Take the next image (band, pixel), linear; give the pixels that changed and, if asked, p-values."""
        self.step += 1
        with np.errstate(all="ignore"):
            current, logs, missing = self._clean(values)
            self.sums += current
            log_of_sums = np.log(_product(self.sums))
            # ln R / looks less its constant: ln c - ln S - j (ln(S + c) - ln S), in one array
            ratio = self.log_of_sums - log_of_sums
            ratio *= self.count + 1.0
            ratio += logs
            ratio -= self.log_of_sums
            changed = np.flatnonzero(ratio <= self._limits())
            found = step_p_values(ratio, self.count, self.looks, self.bands) if p_values else None
        if missing.size:
            logs[missing] = 0
            self.count[missing] -= 1
        self.log_products += logs
        self.log_of_sums = log_of_sums
        self._restart(changed, current, logs)
        self.count += 1
        return changed, found

    def overall(self) -> NDArray[np.float32]:
        """P-value of the test that nothing changed in the whole series, NaN below two observations."""
        with np.errstate(all="ignore"):
            total = np.log(_product(self.closed_sums + self.sums))
            p = series_p_values(self.log_products, total, self.observations, self.looks, self.bands)
        return p.astype(np.float32)

    @property
    def observations(self) -> NDArray[np.intp]:
        """Number of valid observations so far."""
        return self.closed_count + self.count

    def _clean(self, values: NDArray[Any]) -> tuple[Float64Array, Float64Array, NDArray[np.intp]]:
        current = values.astype(np.float64)
        product = _product(current)
        logs = np.log(product)
        valid = np.isfinite(logs)
        if self.bands == 2:
            valid &= current[0] > 0
        missing = np.flatnonzero(~valid) if not valid.all() else np.empty(0, np.intp)
        current[:, missing] = 0
        logs[missing] = np.nan
        return current, logs, missing

    def _limits(self) -> Float64Array:
        # doubling sizes let all strips and steps share a few cached tables
        size = 64
        while size <= self.step:
            size *= 2
        return step_thresholds(size, self.looks, self.bands, self.significance).take(self.count, mode="clip")

    def _restart(self, changed: NDArray[np.intp], current: Float64Array, logs: Float64Array) -> None:
        if not changed.size:
            return
        new = current[:, changed]
        self.closed_sums[:, changed] += self.sums[:, changed] - new
        self.closed_count[changed] += self.count[changed]
        self.sums[:, changed] = new
        self.log_of_sums[changed] = logs[changed]
        self.count[changed] = 0
        self._note(changed)

    def _note(self, changed: NDArray[np.intp]) -> None:
        self.changes[changed] += 1
        self.first[changed] = np.where(self.first[changed] < 0, self.step, self.first[changed])
        self.last[changed] = self.step


class PublishedPixels(Pixels):
    """The variant behind the published labels: see ``as_published`` of `terradelta.sar.omnibus`."""

    def update(
        self, values: NDArray[Any], p_values: bool = False
    ) -> tuple[NDArray[np.intp], Float64Array | None]:
        """Take the next image (band, pixel), linear; give the pixels that changed and, if asked, p-values."""
        self.step += 1
        current = values.astype(np.float64)
        if self.step == 0:
            return self._begin(current, p_values)
        with np.errstate(all="ignore"):
            sums = self.sums + current
            j = self.count + 1.0
            ratio = (j - 1) * _log_floored(self.sums) + _log_floored(current) - j * _log_floored(sums)
            changed = np.flatnonzero(ratio <= self._limits())
            found = step_p_values(ratio, self.count, self.looks, self.bands) if p_values else None
        sums[0, changed] = current[0, changed]
        self.count[changed] = 0
        self._note(changed)
        self.sums = sums
        self.count += 1
        return changed, found

    def overall(self) -> NDArray[np.float32]:
        """All NaN: the variant has no test of the whole series."""
        return np.full(self.count.shape, np.nan, np.float32)

    @property
    def observations(self) -> NDArray[np.intp]:
        """Number of images so far: the variant counts missing values too."""
        return np.full(self.count.shape, self.step + 1, np.intp)

    def _begin(self, current: Float64Array, p_values: bool) -> tuple[NDArray[np.intp], Float64Array | None]:
        self.sums[0] = current[0]
        self.count[:] = 1
        return np.empty(0, np.intp), np.full(self.count.shape, np.nan) if p_values else None


def _product(values: Float64Array) -> Float64Array:
    product: Float64Array = values[0] if len(values) == 1 else values[0] * values[1]
    return product


def _log_floored(values: Float64Array) -> Float64Array:
    return np.asarray(np.log(np.maximum(np.nan_to_num(_product(values)), _TINY)))
