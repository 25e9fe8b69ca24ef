"""Small pieces of HTML; text is escaped here."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Raw", "image", "table"]


class Raw(str):
    """Text that is HTML already and must not be escaped."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Give an HTML table that scrolls on a narrow screen.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Cells; escaped unless they are ``Raw``.
    numbers : sequence of int
        Columns to align to the right.

    Returns
    -------
    str
        HTML.
    """
    head = "".join(f"<th{_mark(index, '', numbers)}>{escape(text)}</th>" for index, text in enumerate(header))
    body = "".join(
        "<tr>" + "".join(_cell(index, text, numbers) for index, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(index: int, text: str, numbers: Sequence[int]) -> str:
    return f"<td{_mark(index, text, numbers)}>{text if isinstance(text, Raw) else escape(text)}</td>"


def _mark(index: int, text: str, numbers: Sequence[int]) -> str:
    if index in numbers:
        return ' class="n"'
    return ' class="d"' if re.match(r"\d{4}-\d\d-\d\d", text) else ""


def image(data: bytes, kind: str, text: str) -> str:
    """Give an HTML image that holds its data.

    Parameters
    ----------
    data : bytes
        The picture.
    kind : str
        Media type.
    text : str
        Shown where pictures cannot be.

    Returns
    -------
    str
        HTML.
    """
    return f'<img alt="{escape(text)}" src="data:{kind};base64,{base64.b64encode(data).decode()}">'
