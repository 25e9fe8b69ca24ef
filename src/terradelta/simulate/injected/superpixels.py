"""Superpixels: neighbouring pixels that nearest-neighbour resampling copied from one source pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from terradelta.errors import InputError
from terradelta.types import BoolArray

__all__ = ["superpixel_sets", "superpixel_sets_json", "superpixels", "whole_superpixels"]

Labels = NDArray[np.int64]


def superpixels(image: NDArray[Any], *, connected: bool = False) -> Labels:
    """Give each pixel the number of its superpixel: neighbouring pixels of equal values in all bands.

    As published, a row scan gives each pixel the number of its upper neighbour if that is equal, else that
    of its left neighbour, else a new number; parts that meet further down are never merged.

    Parameters
    ----------
    image : ndarray, (band, y, x)
        Any value space. A pixel with NaN in a band is a superpixel by itself.
    connected : bool
        Give true 4-connected components instead, numbered by their first pixel in the row scan.

    Returns
    -------
    ndarray of int64, (y, x)
        Numbers from 1, in the order of the row scan, without gaps.

    Raises
    ------
    InputError
        If the image is not (band, y, x).

    Notes
    -----
    Alatalo et al. 2023, "Improved Difference Images for Change Detection Classifiers in SAR Imagery Using
    Deep Learning", IEEE TGRS 61.

    Examples
    --------
    >>> image = np.array([[[1, 2, 1], [1, 1, 1]]])
    >>> superpixels(image).tolist()
    [[1, 2, 3], [1, 1, 3]]
    >>> superpixels(image, connected=True).tolist()
    [[1, 2, 1], [1, 1, 1]]
    """
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[0] == 0:
        raise InputError(f"image is {array.shape}; give one of (band, y, x)")
    if array[0].size == 0:
        return np.zeros(array.shape[1:], np.int64)
    upper, left = _equal_upper(array), _equal_left(array)
    rows, columns = np.asarray(~upper.all(axis=1)), np.asarray(~left.all(axis=0))
    upper, left = upper[rows][:, columns], left[rows][:, columns]
    labels = _scan(upper, left)
    labels = _merged(labels, left) if connected else labels
    return _repeated(labels, rows, columns)


def _repeated(labels: Labels, rows: BoolArray, columns: BoolArray) -> Labels:
    """Put rows and columns back that are copies of the ones before them; enlarged images are full of them."""
    if not columns.all():
        labels = labels[:, np.cumsum(columns) - 1]
    return labels if rows.all() else labels[np.cumsum(rows) - 1]


def _equal_upper(image: NDArray[Any]) -> BoolArray:
    equal = np.zeros(image.shape[1:], bool)
    np.equal(image[0, 1:], image[0, :-1], out=equal[1:])
    for band in image[1:]:
        equal[1:] &= band[1:] == band[:-1]
    return equal


def _equal_left(image: NDArray[Any]) -> BoolArray:
    equal = np.zeros(image.shape[1:], bool)
    np.equal(image[0, :, 1:], image[0, :, :-1], out=equal[:, 1:])
    for band in image[1:]:
        equal[:, 1:] &= band[:, 1:] == band[:, :-1]
    return equal


def _scan(upper: BoolArray, left: BoolArray) -> Labels:
    """Do what the row scan does: climb to the top of the vertical run, from there go left, and again."""
    tops = np.flatnonzero(~upper)
    count = np.arange(tops.size, dtype=np.int32)
    run = np.empty(upper.shape, np.int32)
    run.ravel()[tops] = count
    for above, below, equal in zip(run[:-1], run[1:], upper[1:], strict=True):
        np.copyto(below, above, where=equal)
    parent = run.ravel()[tops - left.ravel()[tops]]
    while not np.array_equal(further := parent[parent], parent):
        parent = further
    return np.asarray(np.cumsum(parent == count, dtype=np.int64)[parent][run])


def _merged(labels: Labels, left: BoolArray) -> Labels:
    """Merge numbers that meet sideways; vertical neighbours of equal values always share one."""
    meets = left[:, 1:] & (labels[:, 1:] != labels[:, :-1])
    a, b = labels[:, 1:][meets] - 1, labels[:, :-1][meets] - 1
    if a.size == 0:
        return labels
    count = int(labels.max())
    graph = coo_array((np.ones(a.size, np.int32), (a, b)), shape=(count, count))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(first.size, np.int64)
    rank[np.argsort(first)] = np.arange(1, first.size + 1)
    return np.asarray(rank[inverse][labels - 1])


def whole_superpixels(mask: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int32]:
    """Widen a change mask so that every superpixel it touches changes wholly.

    Parameters
    ----------
    mask : ndarray of int or bool, (y, x)
        0, or the number of the change.
    labels : ndarray of int, (y, x)
        Numbers of the superpixels, zero or positive.

    Returns
    -------
    ndarray of int32, (y, x)
        Where several changes touch a superpixel, the last one (highest number) takes it.

    Raises
    ------
    InputError
        If the two do not fit, or a number is negative.

    Examples
    --------
    >>> whole_superpixels(np.array([[0, 1, 0]]), np.array([[4, 4, 5]])).tolist()
    [[1, 1, 0]]
    """
    mask, labels = np.asarray(mask), np.asarray(labels)
    if mask.ndim != 2 or mask.shape != labels.shape:
        raise InputError(f"mask is {mask.shape} and superpixels are {labels.shape}; give both as one (y, x)")
    if labels.size and int(labels.min()) < 0:
        raise InputError(f"superpixels hold {int(labels.min())}; give numbers from 0 on")
    touched = np.flatnonzero(mask)
    number = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
    np.maximum.at(number, labels.ravel()[touched], mask.ravel()[touched].astype(np.int32))
    return np.asarray(number[labels], np.int32)


def superpixel_sets(labels: NDArray[Any]) -> dict[int, list[list[int]]]:
    """List the pixels of every superpixel, as the published records keep them.

    Parameters
    ----------
    labels : ndarray of int, (y, x)
        Numbers of the superpixels.

    Returns
    -------
    dict
        Number to its pixels ``[x, y]`` in the order of the row scan; numbers rise.

    Examples
    --------
    >>> superpixel_sets(np.array([[1, 2], [1, 2]]))
    {1: [[0, 0], [0, 1]], 2: [[1, 0], [1, 1]]}
    """
    order, starts, numbers = _grouped(labels)
    y, x = np.divmod(order, np.shape(labels)[1])
    pixels = np.stack([x, y], axis=1).tolist()
    ends = [*starts[1:], len(pixels)]
    return {n: pixels[s:e] for n, s, e in zip(numbers, starts, ends, strict=True)}


def _grouped(labels: NDArray[Any]) -> tuple[NDArray[np.intp], list[int], list[int]]:
    """Give pixels sorted by number, where each number starts among them, and the numbers."""
    flat = np.ravel(labels)
    if flat.size and flat.min() >= 0 and flat.max() < 2**16:
        flat = flat.astype(np.uint16)  # sorted by digits, several times faster
    order = np.argsort(flat, kind="stable")
    ranked = flat[order]
    starts = np.flatnonzero(np.diff(ranked, prepend=ranked[:1] - 1))
    return order, starts.tolist(), ranked[starts].tolist()


def superpixel_sets_json(labels: NDArray[Any]) -> str:
    """Write the pixels of every superpixel as the text of the field ``img_superpixel_sets``.

    Parameters
    ----------
    labels : ndarray of int, (y, x)
        Numbers of the superpixels.

    Returns
    -------
    str
        JSON object: number as text to a list of ``[x, y]``.

    Examples
    --------
    >>> superpixel_sets_json(np.array([[1, 2]]))
    '{"1": [[0, 0]], "2": [[1, 0]]}'
    """
    order, starts, numbers = _grouped(labels)
    rows, columns = np.shape(labels)
    first, second = [f"[{x}, " for x in range(columns)], [f"{y}]" for y in range(rows)]
    y, x = (each.tolist() for each in np.divmod(order, columns))
    pixels = [first[a] + second[b] for a, b in zip(x, y, strict=True)]
    ends = [*starts[1:], len(pixels)]
    sets = [f'"{n}": [{", ".join(pixels[s:e])}]' for n, s, e in zip(numbers, starts, ends, strict=True)]
    return "{" + ", ".join(sets) + "}"
