"""Files that a result has besides its layers: videos, more pictures, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType

from terradelta.errors import InputError
from terradelta.products.html import image

__all__ = ["EXTRA_STYLE", "MEDIA", "Extra", "check_extras", "show_extras"]

MEDIA: Mapping[str, str] = MappingProxyType({
    ".png": "image/png",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
})  # fmt: skip
"""Media types of extra files by suffix."""

EXTRA_STYLE = """\
.extra video, .extra img { display: block; width: auto; max-width: 100%; max-height: 85vh; }
.extra figcaption { margin-top: .3rem; max-width: 75ch; }
@media print { .extra img { max-height: 150mm; } }
"""
"""Style sheet of what ``show_extras`` gives."""


@dataclass(frozen=True)
class Extra:
    """One more file of a result.

    Attributes
    ----------
    file : str
        Its name, directly in the result's folder.
    title : str
        Heading in the report and title of the STAC asset.
    caption : str
        A sentence below it in the report.
    shown : bool
        False: the report links it only. PNG pictures are taken into the page, videos and animations
        are played from the file beside it, anything else is always linked.

    Examples
    --------
    >>> Extra("windows.mp4", "Half-year windows").shown
    True
    """

    file: str
    title: str
    caption: str = ""
    shown: bool = True


def check_extras(extras: Sequence[Extra], folder: Path, taken: Iterable[str]) -> None:
    """Make sure that extra files are there and can be listed.

    Parameters
    ----------
    extras : sequence of Extra
        What was made.
    folder : Path
        Where it must lie.
    taken : iterable of str
        Names of products, which an extra cannot have.

    Raises
    ------
    InputError
        A file is missing, of an unknown kind, in another folder, or has the name of a product or of
        another extra.
    """
    names = set(taken)
    for extra in extras:
        path = Path(extra.file)
        if path.suffix not in MEDIA:
            raise InputError(f"extra file {extra.file!r} is of an unknown kind; kinds are {', '.join(MEDIA)}")
        if path.name != extra.file or not (folder / path).is_file():
            raise InputError(f"extra file {extra.file!r} is missing; write it directly into the given folder")
        if extra.file in names:
            raise InputError(f"extra file {extra.file!r} has the name of another product; choose another one")
        names.add(extra.file)


def show_extras(extras: Sequence[Extra], folder: Path) -> str:
    """Give the part of a report that shows extra files.

    Parameters
    ----------
    extras : sequence of Extra
        In order.
    folder : Path
        Where they lie now.

    Returns
    -------
    str
        HTML: a heading and a figure for each file that is shown, then links to the others.
    """
    figures = [_figure(extra, folder) for extra in extras if _is_shown(extra)]
    links = [
        f'<li><a href="{escape(extra.file)}">{escape(extra.title)}</a>'
        f' <span class="faint">{escape(" · ".join(filter(None, (extra.file, extra.caption))))}</span></li>'
        for extra in extras
        if not _is_shown(extra)
    ]
    return "".join(figures) + (f"<h2>More files</h2><ul>{''.join(links)}</ul>" if links else "")


def _is_shown(extra: Extra) -> bool:
    return extra.shown and Path(extra.file).suffix in (".png", ".gif", ".mp4")


def _figure(extra: Extra, folder: Path) -> str:
    suffix = Path(extra.file).suffix
    source = escape(extra.file)
    if suffix == ".png":
        shown = image((folder / extra.file).read_bytes(), MEDIA[suffix], extra.title)
    elif suffix == ".gif":
        shown = f'<img alt="{escape(extra.title)}" src="{source}">'
    else:
        shown = (
            f'<video controls loop muted playsinline preload="auto" src="{source}">'
            f'<a href="{source}">{source}</a></video>'
        )
    caption = f"<figcaption>{escape(extra.caption)}</figcaption>" if extra.caption else ""
    return f'<h2>{escape(extra.title)}</h2><figure class="extra">{shown}{caption}</figure>'
