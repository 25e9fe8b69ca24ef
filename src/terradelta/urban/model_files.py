"""Networks in files: safetensors for the weights, JSON for what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from terradelta.errors import InputError
from terradelta.learning.files import AGAIN, CONFIG, WEIGHTS, fill, load_model, save_model
from terradelta.types import PathType
from terradelta.urban.era import Era
from terradelta.urban.keras_weights import load_keras_weights
from terradelta.urban.network import ERCNN, VALUE_SPACE

__all__ = ["CONFIG", "WEIGHTS", "load_network", "read_pretrained", "save_pretrained"]

_FORMAT = "terradelta ERCNN"
_VERSION = 1


def load_network(path: PathType) -> ERCNN:
    """Read a network from either kind of file; ready for inference (``eval``).

    Parameters
    ----------
    path : path-like
        HDF5 file that Keras wrote, or a folder that `ERCNN.save_pretrained` wrote (also either of the two
        files in it).

    Raises
    ------
    InputError
        Nothing is there, or it is damaged or something else.

    Examples
    --------
    >>> load_network("nothing-here")
    Traceback (most recent call last):
    terradelta.errors.InputError: no network at nothing-here; give an HDF5 file of Keras or a folder with ...
    """
    file = Path(path)
    if not file.exists():
        raise InputError(
            f"no network at {file}; give an HDF5 file of Keras or a folder with {WEIGHTS} and {CONFIG}"
        )
    if file.is_dir():
        return read_pretrained(file)
    if file.name in (CONFIG, WEIGHTS):
        return read_pretrained(file.parent)
    return load_keras_weights(file)


def save_pretrained(net: ERCNN, folder: PathType) -> None:
    """Write ``model.safetensors`` and ``config.json``; a reader sees the old files or the new ones.

    The description is also kept within the weights, so that files of two networks are not mixed up.

    Parameters
    ----------
    net : ERCNN
        The network.
    folder : path-like
        Made when missing; other files in it stay.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    save_model(folder, net.state_dict(), _description(net))


def _description(net: ERCNN) -> dict[str, Any]:
    dropouts = {branch.memory.dropout for branch in (net.sar, net.optical) if branch is not None}
    return {
        "format": _FORMAT,
        "format_version": _VERSION,
        "era": _era_out(net.era),
        "branches": net.branches,
        "bands": list(net.bands),
        "value_space": net.value_space,
        "recurrent_dropout": max(dropouts),
        "origin": net.origin,
    }


def _era_out(era: Era) -> dict[str, Any]:
    values = {name: getattr(era, name) for name in Era.__dataclass_fields__}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.timedelta64):
        unit, count = np.datetime_data(value.dtype)
        return [int(value.astype(np.int64)) * count, unit]
    return list(value) if isinstance(value, tuple) else value


def _era_in(values: Mapping[str, Any]) -> Era:
    read = dict(values)
    for name in ("step", "window"):
        count, unit = read[name]
        read[name] = np.timedelta64(int(count), unit)
    for name in ("sar_bands", "optical_bands"):
        read[name] = tuple(str(band) for band in read[name])
    return Era(**read)


def read_pretrained(folder: PathType) -> ERCNN:
    """Read what `save_pretrained` wrote; ready for inference (``eval``).

    Parameters
    ----------
    folder : path-like
        With ``model.safetensors`` and ``config.json``.

    Raises
    ------
    InputError
        A file is missing, damaged, of a newer format, or the two do not belong together.

    Examples
    --------
    >>> import tempfile
    >>> from terradelta.urban import ERCNN
    >>> net, folder = ERCNN("s1s2", "sar").eval(), tempfile.mkdtemp()
    >>> net.save_pretrained(folder)
    >>> again = ERCNN.from_pretrained(folder)
    >>> again.branches, bool((again.out.weight == net.out.weight).all())
    ('sar', True)
    """
    folder = Path(folder)
    tensors, document = load_model(folder, format=_FORMAT, version=_VERSION, kind="an ERCNN")
    return _filled(_built(document, folder / CONFIG), tensors, folder / WEIGHTS)


def _built(document: Mapping[str, Any], file: Path) -> ERCNN:
    try:
        era = _era_in(document["era"])
        with torch.random.fork_rng(devices=[]):
            net = ERCNN(era, document["branches"], recurrent_dropout=float(document["recurrent_dropout"]))
        net.origin = str(document["origin"])
        bands, space = tuple(document["bands"]), str(document["value_space"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} lacks a part or holds a wrong one ({reason}); {AGAIN}") from error
    if bands != net.bands:
        raise InputError(
            f"{file}: bands are {', '.join(map(str, bands))}, but the era has {', '.join(net.bands)}"
        )
    if space != VALUE_SPACE:
        raise InputError(f"{file}: values are {space!r}; this terradelta gives networks {VALUE_SPACE!r}")
    return net


def _filled(net: ERCNN, tensors: Mapping[str, Tensor], file: Path) -> ERCNN:
    if "out.weight" in tensors:
        net = net.to(tensors["out.weight"].dtype)
    fill(net, tensors, file, f"{net.era.name}, {net.branches}")
    return net.eval()
