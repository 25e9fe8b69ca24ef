"""Networks in files: safetensors for the weights, JSON for what they mean."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from terradelta import __version__
from terradelta.cube.files import storage_errors
from terradelta.errors import InputError
from terradelta.types import PathType
from terradelta.urban.era import Era
from terradelta.urban.keras_weights import load_keras_weights
from terradelta.urban.network import ERCNN, VALUE_SPACE

__all__ = ["CONFIG", "WEIGHTS", "load_network", "read_pretrained", "save_pretrained"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
_FORMAT = "terradelta ERCNN"
_VERSION = 1
_AGAIN = "save the network again"


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
    folder = Path(folder)
    text = json.dumps(_description(net), indent=1, ensure_ascii=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    weights = safetensors.torch.save(tensors, metadata={"config": text})
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / WEIGHTS, weights)
        _replace(folder / CONFIG, text.encode())


def _replace(file: Path, content: bytes) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _description(net: ERCNN) -> dict[str, Any]:
    dropouts = {branch.memory.dropout for branch in (net.sar, net.optical) if branch is not None}
    return {
        "format": _FORMAT,
        "format_version": _VERSION,
        "terradelta_version": __version__,
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
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"no {name} in {folder}; give a folder that save_pretrained wrote, or {_AGAIN}")
    document = _read_config(folder / CONFIG)
    net = _built(document, folder / CONFIG)
    tensors, inner = _read_weights(folder / WEIGHTS)
    if inner is not None and inner != document:
        raise InputError(f"{folder}: {CONFIG} and {WEIGHTS} are of different networks; {_AGAIN}")
    return _filled(net, tensors, folder / WEIGHTS)


def _read_config(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is no readable JSON ({' '.join(str(error).split())}); {_AGAIN}") from error
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise InputError(
            f"{file} does not describe an ERCNN ('format' is not {_FORMAT!r}); give another folder"
        )
    version = document.get("format_version")
    if version != _VERSION:
        raise InputError(f"{file} has format version {version}; this terradelta reads {_VERSION}: upgrade it")
    return document


def _built(document: Mapping[str, Any], file: Path) -> ERCNN:
    try:
        era = _era_in(document["era"])
        with torch.random.fork_rng(devices=[]):
            net = ERCNN(era, document["branches"], recurrent_dropout=float(document["recurrent_dropout"]))
        net.origin = str(document["origin"])
        bands, space = tuple(document["bands"]), str(document["value_space"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} lacks a part or holds a wrong one ({reason}); {_AGAIN}") from error
    if bands != net.bands:
        raise InputError(
            f"{file}: bands are {', '.join(map(str, bands))}, but the era has {', '.join(net.bands)}"
        )
    if space != VALUE_SPACE:
        raise InputError(f"{file}: values are {space!r}; this terradelta gives networks {VALUE_SPACE!r}")
    return net


def _read_weights(file: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get("config")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return tensors, None if text is None else json.loads(text)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(f"{file} is damaged ({' '.join(str(error).split())}); {_AGAIN}") from error


def _filled(net: ERCNN, tensors: Mapping[str, Tensor], file: Path) -> ERCNN:
    own = net.state_dict()
    wrong = [
        f"{name} {_shape(tensors.get(name))} instead of {_shape(own.get(name))}"
        for name in sorted(own.keys() | tensors.keys())
        if _shape(tensors.get(name)) != _shape(own.get(name))
    ]
    if wrong:
        rest = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise InputError(
            f"{file} does not fit {CONFIG} ({net.era.name}, {net.branches}): "
            f"{'; '.join(wrong[:3])}{rest}; {_AGAIN}"
        )
    bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if bad:
        raise InputError(f"{file}: {bad[0]} holds values that are not finite; train again or {_AGAIN}")
    net = net.to(tensors["out.weight"].dtype)
    net.load_state_dict(dict(tensors))
    return net.eval()


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else "x".join(map(str, tensor.shape)) or "scalar"
