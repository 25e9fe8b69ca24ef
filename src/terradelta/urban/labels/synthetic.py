"""Synthetic labels on plain arrays: where radar and optical images agree on built or torn down.

A label of a window needs four things: the radar images within it, per orbit direction, for the omnibus test,
and the mean optical image of the windows before and behind it, for ENDISI.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terradelta.errors import InputError
from terradelta.optical import defined, endisi
from terradelta.sar import OmnibusResult, omnibus
from terradelta.urban.labels.rules import LabelRule

__all__ = [
    "change_activity",
    "label_of_means",
    "label_of_window",
    "mean_frame",
    "synthetic_label",
    "window_activity",
]


def change_activity(
    ascending: OmnibusResult, descending: OmnibusResult, rule: LabelRule
) -> NDArray[np.float32]:
    """Tell from the omnibus tests of both orbit directions how sure the radar is of a change in a window.

    A direction says 1 where the test of all its observations finds that they are not alike (its p-value is at
    most the significance), else 0. Given is the mean of the directions that saw the pixel at least twice. For
    this, the tests must have got real observations only, and NaN where there was none.

    As published, it is the number of changes over both directions, divided by twice the number of images,
    where each kept time counts as an image even if it repeats the one before.

    Parameters
    ----------
    ascending, descending : OmnibusResult
        Tests of the images within the window, with the looks, significance and variant of the rule.
    rule : LabelRule
        Its significance and variant are used.

    Returns
    -------
    ndarray of float32
        (y, x) 0..1; 0 where no direction saw the pixel twice.

    Raises
    ------
    InputError
        If the two do not have the same shape.

    References
    ----------
    Conradsen, K., Nielsen, A. A., & Skriver, H. (2016). Determining the points of change in time series of
    polarimetric SAR data. IEEE Transactions on Geoscience and Remote Sensing, 54(5), 3007-3024.

    Examples
    --------
    >>> from terradelta.urban.labels import rule_of
    >>> quiet = np.full((8, 2, 1, 2), 0.1)
    >>> built = quiet.copy()
    >>> built[4:, :, :, 1] *= 30
    >>> change_activity(omnibus(quiet, 4), omnibus(built, 4), rule_of("s1s2")).tolist()
    [[0.0, 0.5]]
    """
    if ascending.count.shape != descending.count.shape:
        raise InputError(
            f"the ascending test has shape {ascending.count.shape}, the descending one "
            f"{descending.count.shape}; give both on one grid"
        )
    if rule.as_published:
        images = np.maximum(ascending.observations, 1)
        changes = ascending.count.astype(np.float64) + descending.count
        return np.asarray(changes / images / 2, np.float32)
    p_values = np.stack([ascending.p_value, descending.p_value])
    known = np.isfinite(p_values).sum(axis=0)
    return np.asarray((p_values <= rule.significance).sum(axis=0) / np.maximum(known, 1), np.float32)


def window_activity(ascending: ArrayLike, descending: ArrayLike, rule: LabelRule) -> NDArray[np.float32]:
    """Run the omnibus test on the radar images of a window and give the `change_activity`.

    Parameters
    ----------
    ascending, descending : array_like
        (time, band, y, x) linear power. By default the real observations of each direction, which may differ
        in number, NaN where missing; as published the frames of all kept times, earlier values carried on.
    rule : LabelRule
        Looks, significance and variant.

    Returns
    -------
    ndarray of float32
        (y, x) 0..1.

    Raises
    ------
    InputError
        If a series is not (time, band, y, x) with 1 or 2 bands, or the two differ in their grid.

    Examples
    --------
    >>> from terradelta.urban.labels import rule_of
    >>> quiet = np.full((8, 2, 1, 1), 0.1)
    >>> window_activity(quiet, quiet * np.linspace(1, 90, 8)[:, None, None, None], rule_of("s1s2")).tolist()
    [[0.5]]
    """
    found = [
        omnibus(series, rule.looks, rule.significance, as_published=rule.as_published)
        for series in (ascending, descending)
    ]
    return change_activity(found[0], found[1], rule)


def mean_frame(frames: Iterable[ArrayLike], *, as_published: bool = False) -> NDArray[np.float32]:
    """Average the optical images of a window, one after the other.

    An image counts at a pixel only where all its bands are finite and one of them is not 0, which is what a
    stack holds before the first observation.

    Parameters
    ----------
    frames : iterable of array_like
        Each (band, y, x) reflectance, all of the same shape.
    as_published : bool
        The variant behind published training labels: the plain mean of all images.

    Returns
    -------
    ndarray of float32
        (band, y, x); 0 where no image counts.

    Raises
    ------
    InputError
        If there is no image.

    Examples
    --------
    >>> frames = np.array([0.0, 0.25, 0.5]).reshape(3, 1, 1, 1)
    >>> mean_frame(frames).item(), mean_frame(frames, as_published=True).item()
    (0.375, 0.25)
    """
    total: NDArray[np.float64] | None = None
    for frame in frames:
        values = np.asarray(frame, np.float64)
        if total is None:
            total, number = np.zeros(values.shape), np.zeros(values.shape[1:])
        if as_published:
            good = np.ones(values.shape[1:], bool)
        else:
            good = np.isfinite(values).all(axis=0) & (values != 0).any(axis=0)
        total += np.where(good, values, 0)
        number += good
    if total is None:
        raise InputError("there is no optical image in the window; give at least one frame (band, y, x)")
    return np.asarray(total / np.maximum(number, 1), np.float32)


def synthetic_label(
    before: ArrayLike, after: ArrayLike, activity: ArrayLike, gain: float
) -> NDArray[np.float32]:
    """Give the label of a window: ``clip(gain * |after - before| * activity, 0, 1)``.

    Parameters
    ----------
    before, after : array_like
        (y, x) ENDISI of the windows before and behind.
    activity : array_like
        (y, x) what `change_activity` gave for the window itself.
    gain : float
        Of the rule.

    Returns
    -------
    ndarray of float32
        (y, x) 0..1; 0 where a value is NaN.

    References
    ----------
    Zitzlsberger, G. et al. (2021). Neural network-based urban change monitoring with deep-temporal
    multispectral and SAR remote sensing data. Remote Sensing, 13(15), 3000.

    Examples
    --------
    >>> synthetic_label([[0.25, 0.25]], [[0.5, 0.75]], [[0.5, 1.0]], gain=4).tolist()
    [[0.5, 1.0]]
    """
    difference = np.abs(np.asarray(after, np.float64) - np.asarray(before, np.float64))
    label = gain * difference * np.asarray(activity, np.float64)
    return np.asarray(np.clip(np.nan_to_num(label), 0, 1), np.float32)


def label_of_means(
    before: ArrayLike,
    after: ArrayLike,
    betas: Sequence[float],
    activity: ArrayLike,
    rule: LabelRule,
) -> NDArray[np.float32]:
    """Give the label of a window from the mean optical images around it.

    Parameters
    ----------
    before, after : array_like
        (band, y, x) `mean_frame` of the windows before and behind.
    betas : sequence of float
        β of the whole area in the window before and in the one behind.
    activity : array_like
        (y, x) what `change_activity` gave for the window itself.
    rule : LabelRule
        Shift, bands, gain and variant.

    Returns
    -------
    ndarray of float32
        (y, x) 0..1; 0 where ENDISI is undefined before or behind, since nothing can be compared there. As
        published, an undefined ENDISI is a 0 like any other.

    Raises
    ------
    InputError
        If an image is not (band, y, x) or lacks a band.

    Examples
    --------
    >>> from terradelta.urban.labels import rule_of
    >>> grass, roof = np.full((13, 1, 2), 0.1), np.full((13, 1, 2), 0.2)
    >>> grass[11], roof[:, :, 1] = 0.3, 0
    >>> label_of_means(grass, roof, (0.1, 0.2), np.ones((1, 2)), rule_of("s1s2")).tolist()
    [[0.75, 0.0]]
    """
    first, second = (
        endisi(image, beta, rule.shift, rule.bands, as_published=rule.as_published)
        for image, beta in zip((before, after), betas, strict=True)
    )
    label = synthetic_label(first, second, activity, rule.gain)
    if not rule.as_published:
        label[~(defined(before, rule.bands) & defined(after, rule.bands))] = 0
    return label


def label_of_window(
    ascending: ArrayLike,
    descending: ArrayLike,
    before: Iterable[ArrayLike],
    after: Iterable[ArrayLike],
    betas: Sequence[float],
    rule: LabelRule,
) -> NDArray[np.float32]:
    """Give the label of a window from all its images.

    Parameters
    ----------
    ascending, descending : array_like
        (time, band, y, x) radar images of the window, see `window_activity`.
    before, after : iterable of array_like
        Optical images (band, y, x) of the windows before and behind.
    betas : sequence of float
        β of the whole area in the window before and in the one behind.
    rule : LabelRule
        How the label is made.

    Returns
    -------
    ndarray of float32
        (y, x) 0..1.

    Raises
    ------
    InputError
        As the functions it is made of.

    Examples
    --------
    >>> from terradelta.urban.labels import rule_of
    >>> radar = np.repeat([0.1, 3.0], 5)[:, None, None, None] * np.ones((10, 2, 1, 1))
    >>> grass, roof = np.full((3, 13, 1, 1), 0.1), np.full((3, 13, 1, 1), 0.2)
    >>> grass[:, 11] = 0.3
    >>> label_of_window(radar, radar, grass, roof, (0.1, 0.2), rule_of("s1s2")).tolist()
    [[0.75]]
    """
    means = [mean_frame(frames, as_published=rule.as_published) for frames in (before, after)]
    return label_of_means(means[0], means[1], betas, window_activity(ascending, descending, rule), rule)
