"""Videos of change over time: each window in red over the place, with a bar that tells its dates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from terradelta.errors import InputError
from terradelta.products.files import whole_file
from terradelta.products.frames import Frames
from terradelta.products.painting import check_threshold, largest, north_up, redden, resized, shrinking
from terradelta.types import PathType

__all__ = ["write_video"]

_CODER = {"preset": "medium", "crf": "19", "g": "25"}
_TICKS = 100  # GIF counts in hundredths of a second
_SAMPLES = 6
_BT709, _LIMITED = 1, 1  # FFmpeg's numbers; what players take for granted in H.264


def write_video(
    maps: xr.DataArray,
    path: PathType,
    *,
    background: NDArray[np.uint8] | None = None,
    threshold: float = 0.5,
    fps: float = 5,
    size_limit: int = 1080,
    title: str = "",
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write window maps as a video, one frame each: changes in red over a picture of the place.

    Below the map a bar shows the whole period, the extent of the window and its mid-point. Areas
    larger than the limit are shrunk to the largest value of each cell, not the mean, so that small
    changes stay visible; smaller ones are enlarged by a whole factor. Frames are read, painted and
    encoded one at a time: memory does not grow with their number.

    Parameters
    ----------
    maps : DataArray
        (window, y, x) change probability, NaN = no data, with a CRS and, on window, the coordinates
        ``start``, ``end``, ``time`` (mid-point) and, where known, ``count`` (observations). Lazy or not.
    path : path-like
        ``.mp4`` (H.264, 4:2:0) or ``.gif`` (endless).
    background : ndarray of uint8, optional
        (y, x, 3) or (y, x) of the same area, in any size; plain grey without it.
    threshold : float
        Largest value that is no change.
    fps : float
        Frames per second.
    size_limit : int
        Most pixels of a side of the map; the frame is higher by title and bar.
    title : str
        Heading.
    progress : callable, optional
        Called with 1 after each frame.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        PyAV is missing, another suffix, no windows, wrong dimensions or coordinates, no
        georeference, or a threshold, rate or limit that makes no sense.
    StorageError
        The file cannot be written.
    """
    path, av = Path(path), _pyav()
    if path.suffix not in _WRITERS:
        raise InputError(f"suffix {path.suffix!r} of {path.name} is unknown; give .mp4 or .gif")
    if not 0.1 <= fps <= 60:
        raise InputError(f"fps is {fps}; give frames per second from 0.1 to 60")
    _check(maps)
    maps, geobox = north_up(maps)
    factor = shrinking(maps.shape[1:], size_limit)
    shape = (-(-geobox.shape.y // factor), -(-geobox.shape.x // factor))
    check_threshold(threshold)
    frames = Frames(maps, geobox, shape, size_limit, threshold=threshold, title=title)
    picture = resized(background, *shape)
    with whole_file(path) as file:
        writer = _WRITERS[path.suffix](av, file, frames.size, fps, _palette(frames, picture, threshold))
        try:
            for window in range(maps.shape[0]):
                values = _visible(largest(maps[window], factor), frames.factor)
                writer.add(frames.draw(window, redden(picture, values, threshold)))
                if progress is not None:
                    progress(1)
        finally:
            writer.close()
    return path


def _visible(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Widen change to 2 × 2 pixels of the video at least: 4:2:0 has no colour for a single one."""
    if factor > 1:
        return values
    rows, columns = values.shape
    return largest(values, 2).repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns]


def _pyav() -> Any:
    try:
        import av
        import av.filter
    except ModuleNotFoundError as error:
        raise InputError("videos need PyAV; install it with: pip install 'terradelta[video]'") from error
    return av


def _check(maps: xr.DataArray) -> None:
    if maps.ndim != 3 or not maps.size:
        raise InputError(
            f"maps have dimensions {dict(maps.sizes)}; give (window, y, x) with a window at least"
        )
    for name in ("start", "end", "time"):
        if name not in maps.coords or maps[name].dims != maps.dims[:1]:
            raise InputError(
                f"maps have no coordinate {name!r} on {maps.dims[0]!r}; give start, end and time"
            )


def _palette(frames: Frames, picture: NDArray[np.uint8], threshold: float) -> Iterator[NDArray[np.uint8]]:
    """Frames with all colours that can come up: reds of all strengths over the whole picture."""
    shape = picture.shape[:2]
    for value in (0.0, *np.linspace(threshold, 1, _SAMPLES)[1:], np.nan):
        yield frames.draw(0, redden(picture, np.full(shape, value), threshold))


class _Writer(Protocol):
    """Takes frames one by one."""

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Take the next frame, (y, x, 3)."""

    def close(self) -> None:
        """Write what is left."""


class _Mp4:
    """H.264 in MP4, its index in front so that browsers start at once."""

    def __init__(
        self, av: Any, path: Path, size: tuple[int, int], fps: float, palette: Iterator[NDArray[np.uint8]]
    ) -> None:
        self._av = av
        self._file = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        rate = Fraction(fps).limit_denominator(1000)
        self._stream = self._file.add_stream("libx264", rate=rate, options=_CODER)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709

    def add(self, frame: NDArray[np.uint8]) -> None:
        image = self._av.VideoFrame.from_ndarray(frame, format="rgb24")
        image = image.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)
        self._file.mux(self._stream.encode(image))

    def close(self) -> None:
        try:
            self._file.mux(self._stream.encode(None))
        finally:
            self._file.close()


class _Gif:
    """GIF with one palette for all frames, so that only what changes is stored."""

    def __init__(
        self, av: Any, path: Path, size: tuple[int, int], fps: float, palette: Iterator[NDArray[np.uint8]]
    ) -> None:
        self._av, self._fps, self._number = av, fps, 0
        colours = self._colours(size, palette)
        graph = self._graph = av.filter.Graph()
        self._input = self._buffer(graph, size, "rgb24")
        table = self._buffer(graph, (colours.height, colours.width), colours.format.name)
        mapping = graph.add("paletteuse", "dither=bayer:bayer_scale=4:diff_mode=rectangle")
        self._output = graph.add("buffersink")
        self._input.link_to(mapping, 0, 0)
        table.link_to(mapping, 0, 1)
        mapping.link_to(self._output)
        graph.configure()
        table.push(colours)
        table.push(None)
        self._file = av.open(str(path), "w", format="gif", options={"loop": "0"})
        self._stream = self._file.add_stream("gif", rate=_TICKS)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "pal8"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)

    def _buffer(self, graph: Any, size: tuple[int, int], kind: str) -> Any:
        return graph.add_buffer(
            height=size[0], width=size[1], format=self._av.VideoFormat(kind), time_base=Fraction(1, _TICKS)
        )

    def _colours(self, size: tuple[int, int], palette: Iterator[NDArray[np.uint8]]) -> Any:
        graph = self._av.filter.Graph()
        source, sink = self._buffer(graph, size, "rgb24"), graph.add("buffersink")
        choose = graph.add("palettegen", "reserve_transparent=0:stats_mode=full")
        source.link_to(choose)
        choose.link_to(sink)
        graph.configure()
        for number, frame in enumerate(palette):
            source.push(self._image(frame, number))
        source.push(None)
        return sink.pull()

    def _image(self, frame: NDArray[np.uint8], time: int) -> Any:
        image = self._av.VideoFrame.from_ndarray(frame, format="rgb24")
        image.pts, image.time_base = time, Fraction(1, _TICKS)
        return image

    def add(self, frame: NDArray[np.uint8]) -> None:
        self._input.push(self._image(frame, round(self._number * _TICKS / self._fps)))
        self._number += 1
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                image = self._output.pull()
            except (self._av.error.BlockingIOError, self._av.error.EOFError):  # wants more, or has no more
                return
            self._file.mux(self._stream.encode(image))

    def close(self) -> None:
        try:
            self._input.push(None)
            self._drain()
            self._file.mux(self._stream.encode(None))
        finally:
            self._file.close()


_WRITERS: dict[str, Callable[..., _Writer]] = {".mp4": _Mp4, ".gif": _Gif}
