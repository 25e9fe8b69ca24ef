"""A picture of simulated changes: before, after, and where."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from terradelta.cube.files import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["draw_changes", "write_picture"]

_PIXELS = 400
_PANEL = 2.7
_PERCENT = (2, 98)
_INK = "#22313a"
_MARK = "#d1495b"
_PLAIN = "#eef1f3"


def write_picture(file: Path, picture: bytes) -> None:
    """Write a picture.

    Parameters
    ----------
    file : Path
        Its name.
    picture : bytes
        PNG.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture)


def draw_changes(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    mask: NDArray[np.int32],
    bands: tuple[str, ...],
    *,
    title: str = "",
) -> bytes:
    """Draw an image before and after, and the numbers of the changes, a row per band.

    Parameters
    ----------
    before, after : array (band, y, x)
        dB.
    mask : array (y, x)
        0, or the number of the change.
    bands : tuple of str
        Names of the bands.
    title : str
        Heading.

    Returns
    -------
    bytes
        A PNG file; large images are shown by every n-th pixel.
    """
    from matplotlib.figure import Figure

    step = -(-max(mask.shape) // _PIXELS)
    old, new, numbers = before[:, ::step, ::step], after[:, ::step, ::step], mask[::step, ::step]
    ratio = float(np.clip(mask.shape[0] / mask.shape[1], 0.3, 2.0))
    size = (_PANEL * 3 + 0.6, (_PANEL * ratio + 0.35) * len(bands) + 0.45)
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    if title:
        figure.suptitle(title, color=_INK, fontsize=10, weight="bold")
    grid = figure.subplots(len(bands), 3, squeeze=False)
    for row, band in enumerate(bands):
        _draw_band(figure, grid[row], [old[row], new[row]], numbers, band)
    target = BytesIO()
    figure.savefig(target, format="png", dpi=100, metadata={"Software": None})
    return _few_colours(target)


def _few_colours(picture: BytesIO) -> bytes:
    """Keep greys and mixtures of the mark's colour: speckle in more colours makes a large file."""
    from PIL import Image, ImageColor

    grey = np.repeat(np.linspace(0, 255, 52)[:, None], 3, axis=1)
    mark = np.array(ImageColor.getrgb(_MARK))
    mixed = [mark + share * (end - mark) for end in (0, 255) for share in (0, 0.2, 0.4, 0.6, 0.8)]
    others = [ImageColor.getrgb(colour) for colour in (_INK, _PLAIN)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([grey, mixed, others]).round().astype(int).ravel().tolist())
    target = BytesIO()
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
        few.save(target, "png", optimize=True)
    return target.getvalue()


def _draw_band(
    figure: Figure, axes: Any, images: list[NDArray[np.float32]], mask: NDArray[np.int32], band: str
) -> None:
    from matplotlib.colors import ListedColormap

    known = images[0][np.isfinite(images[0])]
    low, high = np.percentile(known, _PERCENT) if known.size else (0.0, 1.0)
    for place, image, name in zip(axes[:2], images, ("before", "after"), strict=True):
        shown = place.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        place.set_title(f"{band} {name}", fontsize=8, color=_INK, loc="left")
    bar = figure.colorbar(shown, ax=axes[1], shrink=0.85, extend="both", pad=0.02)
    bar.ax.set_title("dB", fontsize=7, color=_INK, loc="left")
    bar.ax.tick_params(labelsize=7, colors=_INK)
    axes[2].imshow(mask > 0, cmap=ListedColormap([_PLAIN, _MARK]), vmin=0, vmax=1, interpolation="nearest")
    axes[2].set_title("changed", fontsize=8, color=_INK, loc="left")
    for place in axes:
        place.set_xticks([])
        place.set_yticks([])
    if mask.any():
        axes[1].contour(mask > 0, levels=[0.5], colors=_MARK, linewidths=0.7)
    for number in np.unique(mask[mask > 0]).tolist():
        _write_number(axes[2], np.argwhere(mask == number), number)


def _write_number(axes: Any, pixels: NDArray[np.intp], number: int) -> None:
    """Write the number of a change on its pixel nearest to its middle."""
    y, x = pixels[np.argmin(((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1))]
    axes.text(x, y, str(number), fontsize=8, ha="center", va="center", color="white", weight="bold")
