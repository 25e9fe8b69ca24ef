"""A linear support vector classifier on the difference of every band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.expected.classifiers.files import read_classifier, write_classifier
from terradelta.expected.classifiers.threshold import Threshold
from terradelta.expected.differences.change_maps import as_map, lazily
from terradelta.types import PathType

__all__ = ["LinearSVC"]


@dataclass(frozen=True)
class LinearSVC:
    """A linear support vector classifier on the difference of every band, standardised.

    Attributes
    ----------
    mean, scale : tuple of float
        Per band, of the training pixels.
    coefficients : tuple of float
        Per band, of the standardised difference.
    intercept : float
        Of the decision function.
    kind : str
        Kind of difference that it was trained on; empty if that is not known.
    report : mapping
        On images held out of the training, after scikit-learn's ``classification_report``; may be empty.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    kind: str = ""
    report: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def fit(
        cls,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        groups: ArrayLike | None = None,
        *,
        kind: str = "",
        seed: int = 0,
    ) -> LinearSVC:
        """Train on pixels.

        Parameters
        ----------
        X : array_like
            (pixel, band), differences; rows with NaN are left out.
        y : array_like
            (pixel,), 1 = changed, 0 = unchanged; about as many of both.
        groups : array_like, optional
            (pixel,), the image of each. A third of the images is then held out, whole, and `report` tells
            how the classifier does on them.
        kind : str
            Kind of difference; `predict` then refuses others.
        seed : int
            Which images are held out.

        Returns
        -------
        LinearSVC
            Ready to predict.

        Raises
        ------
        InputError
            If shapes do not fit, or only one class is left.

        References
        ----------
        Fan, R.-E. et al. (2008). LIBLINEAR: a library for large linear classification. JMLR 9, 1871-1874.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> quiet, changed = rng.normal(0, 1, (500, 2)), rng.normal(-3, 1, (500, 2))
        >>> svc = LinearSVC.fit(np.vstack([quiet, changed]), np.repeat([0, 1], 500))
        >>> svc.predict(np.array([[0.0, 0.0], [-4.0, -4.0], [np.nan, 0.0]])).tolist()
        [0, 1, 255]
        """
        rows, labels, images = _checked(X, y, groups)
        if images is None:
            return cls._fitted(rows, labels, kind, {})
        held = np.isin(images, _held_out(images, seed))
        trained = cls._fitted(rows[~held], labels[~held], kind, {})
        return cls(**{**trained.__dict__, "report": trained.score(rows[held], labels[held])})

    @classmethod
    def _fitted(
        cls, rows: NDArray[Any], labels: NDArray[Any], kind: str, report: Mapping[str, Any]
    ) -> LinearSVC:
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import LinearSVC as Machine

        if len(np.unique(labels)) < 2:
            raise InputError("only one class is left to train on; give changed and unchanged pixels")
        scaler = StandardScaler().fit(rows)
        machine = Machine(dual=False).fit(scaler.transform(rows), labels)
        return cls(
            tuple(map(float, scaler.mean_)),
            tuple(map(float, scaler.scale_)),
            tuple(map(float, machine.coef_[0])),
            float(machine.intercept_[0]),
            kind,
            report,
        )

    def decision_function(self, diff: Any) -> Any:
        """Give the signed distance to the boundary: above 0 = changed.

        Parameters
        ----------
        diff : Dataset, DataArray or ndarray
            From `difference`; or its bands, (band, y, x) as DataArray or (pixel, band) as array.

        Returns
        -------
        DataArray or ndarray
            (y, x) or (pixel,) float32, in scaled units; NaN = no data; as lazy as `diff` is.

        Raises
        ------
        InputError
            If there are other bands, or another kind of difference.
        """
        if not isinstance(diff, xr.Dataset | xr.DataArray):
            return self._decide(np.asarray(diff))
        bands = diff["difference"] if isinstance(diff, xr.Dataset) else diff
        kind = bands.attrs.get("kind", "")
        if self.kind and kind and kind != self.kind:
            raise InputError(
                f"the classifier was trained on a {self.kind}, diff is a {kind}; make it likewise"
            )
        if bands.chunks is not None:
            bands = bands.chunk({"band": -1})
        return as_map(lazily(self._decide, bands, core=["band"], dtype=np.float32), np.float32)

    def _decide(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        if rows.shape[-1] != len(self.mean):
            raise InputError(f"diff has {rows.shape[-1]} bands, the classifier knows {len(self.mean)}")
        scaled = (rows.astype(np.float64) - self.mean) / self.scale
        return np.asarray(scaled @ np.array(self.coefficients) + self.intercept, np.float32)

    def predict(self, diff: Any) -> Any:
        """Map the changes of a difference.

        Parameters
        ----------
        diff : Dataset, DataArray or ndarray
            See `decision_function`.

        Returns
        -------
        DataArray or ndarray of uint8
            1 = changed, 0 = unchanged, 255 = no data.
        """
        return Threshold(0.0).predict(self.decision_function(diff))

    def score(self, X: ArrayLike, y: ArrayLike) -> dict[str, Any]:  # noqa: N803
        """Tell precision, recall and F1 of both classes and the accuracy.

        Parameters
        ----------
        X : array_like
            (pixel, band).
        y : array_like
            (pixel,), 0 or 1.

        Returns
        -------
        dict
            Keys ``"0"``, ``"1"``, ``"accuracy"``, ``"macro avg"``, ``"weighted avg"``.
        """
        from sklearn.metrics import classification_report

        rows, labels, _ = _checked(X, y, None)
        found: dict[str, Any] = classification_report(
            labels, self.predict(rows), labels=[0, 1], output_dict=True, zero_division=0.0
        )
        if "accuracy" not in found:
            found["accuracy"] = float((labels == self.predict(rows)).mean())
        return found

    def save(self, path: PathType) -> None:
        """Write a JSON file, replaced in one step.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        names = ("mean", "scale", "coefficients", "intercept", "kind", "report")
        write_classifier(path, "LinearSVC", {name: getattr(self, name) for name in names})

    @classmethod
    def load(cls, path: PathType) -> LinearSVC:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If nothing is there, or something else.
        """
        numbers = dict.fromkeys(("mean", "scale", "coefficients"), tuple)
        types = {**numbers, "intercept": float, "kind": str, "report": dict}
        found = cls(**read_classifier(path, "LinearSVC", types))
        if not len(found.mean) == len(found.scale) == len(found.coefficients):
            raise InputError(f"{path} has numbers of different bands; save the classifier again")
        return found


def _checked(
    rows: ArrayLike, labels: ArrayLike, groups: ArrayLike | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    values, classes = np.asarray(rows), np.asarray(labels)
    images = None if groups is None else np.asarray(groups)
    lengths = {len(one) for one in (values, classes, *([] if images is None else [images])) if one.ndim}
    if values.ndim != 2 or classes.ndim != 1 or len(lengths) != 1:
        raise InputError(
            f"pixels {values.shape} and classes {classes.shape} do not fit; give (pixel, band) and (pixel,)"
        )
    known = np.isfinite(values).all(axis=1) & np.isin(classes, (0, 1))
    return values[known], classes[known].astype(np.uint8), None if images is None else images[known]


def _held_out(images: NDArray[Any], seed: int) -> NDArray[Any]:
    names = np.unique(images)
    if len(names) < 2:
        raise InputError(
            f"groups name {len(names)} image; give at least 2 to hold one out, or leave groups out"
        )
    number = min(max(round(len(names) / 3), 1), len(names) - 1)
    return np.random.default_rng(seed).permutation(names)[:number]
