"""Measure how pixels should lie on disk: write and both ways of reading, against a plain NumPy memmap.

Every candidate stores the same seeded speckle, date after date as a cube grows, and is read in two ways: one
date over the whole area, and all dates over a small tile. Times are medians of the repeats; what counts are
the ratios to the memmap of the same run. The last row is the cube itself, with locks, digests and commits.

    python benchmarks/bench_cube.py --size 2048 --dates 16 --repeats 3
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from affine import Affine
from odc.geo.geobox import GeoBox
from zarr.codecs import BloscCodec

from terradelta.cube import SarAcquisition, append, create_cube, open_cube

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Images = list[np.ndarray]


@dataclass(frozen=True)
class Candidate:
    """A layout: (time, edge) of chunk and shard in pixels, and a compression."""

    chunk: tuple[int, int]
    shard: tuple[int, int] | None
    codec: str

    @property
    def label(self) -> str:
        """Chunk, shard and compression in words."""
        shard = f"{self.shard[0]} x {self.shard[1]}²" if self.shard else "none"
        return f"{self.chunk[0]} x {self.chunk[1]}² / {shard} / {self.codec}"

    def make(self, folder: Path, shape: tuple[int, ...]) -> zarr.Array:
        """Make the empty array."""
        bands = shape[1]

        def whole(piece: tuple[int, int]) -> tuple[int, ...]:
            return piece[0], bands, piece[1], piece[1]

        codec = None
        if self.codec != "raw":
            name, level, shuffle = self.codec.split("-")
            codec = BloscCodec(cname=name, clevel=int(level), shuffle=shuffle)
        return zarr.create_array(
            str(folder), shape=shape, dtype="float32", chunks=whole(self.chunk),
            shards=whole(self.shard) if self.shard else None, compressors=codec, fill_value=np.nan,
        )  # fmt: skip


CANDIDATES = (
    Candidate((1, 128), (1, 1024), "lz4-5-bitshuffle"),
    Candidate((1, 256), (1, 1024), "lz4-5-bitshuffle"),
    Candidate((1, 512), (1, 1024), "lz4-5-bitshuffle"),
    Candidate((1, 256), (1, 2048), "lz4-5-bitshuffle"),
    Candidate((1, 512), (1, 2048), "lz4-5-bitshuffle"),
    Candidate((1, 256), (8, 1024), "lz4-5-bitshuffle"),
    Candidate((4, 128), (4, 1024), "lz4-5-bitshuffle"),
    Candidate((8, 64), (8, 512), "lz4-5-bitshuffle"),
    Candidate((8, 128), (8, 512), "lz4-5-bitshuffle"),
    Candidate((1, 256), None, "lz4-5-bitshuffle"),
    Candidate((1, 512), None, "lz4-5-bitshuffle"),
    Candidate((1, 256), (1, 1024), "raw"),
    Candidate((1, 256), (1, 1024), "zstd-1-shuffle"),
    Candidate((1, 256), (1, 1024), "lz4-5-shuffle"),
    Candidate((1, 256), (1, 1024), "zstd-1-bitshuffle"),
)


@dataclass
class Figures:
    """Seconds per task, and bytes and files on disk."""

    write: float
    date: float
    tile: float
    size: int
    files: int


def speckle(dates: int, bands: int, size: int, seed: int) -> Images:
    """Make linear backscatter: smooth ground times new gamma speckle of 4 looks on every date."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0.02, 0.2, size, dtype=np.float32)
    ground = slope * slope[:, None] * 5
    return [random.standard_gamma(4.0, (bands, size, size), np.float32) * ground for _ in range(dates)]


def seconds(task: Callable[[], object]) -> float:
    """Time a task."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def places(shape: tuple[int, ...], tile: int, seed: int) -> Iterator[tuple[int, int, int]]:
    """Choose dates and corners to read."""
    random = np.random.default_rng(seed)
    for _ in range(8):
        y, x = random.integers(0, shape[2] - tile, 2)
        yield int(random.integers(shape[0])), int(y), int(x)


def read_times(read: Callable[..., Any], shape: tuple[int, ...], tile: int, seed: int) -> tuple[float, float]:
    """Time one date over everything, and all dates over a tile."""
    spots = list(places(shape, tile, seed))
    date = statistics.median(seconds(lambda t=t: read(t, slice(None), slice(None))) for t, _, _ in spots)
    whole = slice(None)
    series = statistics.median(
        seconds(lambda y=y, x=x: read(whole, slice(y, y + tile), slice(x, x + tile))) for _, y, x in spots
    )
    return date, series


def forget(folder: Path) -> None:
    """Write files out and ask the system to drop them from memory, so that reads reach the disk."""
    for file in [folder] if folder.is_file() else [f for f in folder.rglob("*") if f.is_file()]:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(
    folder: Path, write: Callable[[], Callable[..., Any]], images: Images, args: argparse.Namespace
) -> Figures:
    """Write, read in both ways, and clean up."""
    shape = (len(images), *images[0].shape)
    reader: list[Callable[..., Any]] = []
    spent = seconds(lambda: reader.append(write()))
    if args.cold:
        forget(folder)
    date, tile = read_times(reader[0], shape, args.tile, args.seed)
    files = [folder] if folder.is_file() else [f for f in folder.rglob("*") if f.is_file()]
    figures = Figures(spent, date, tile, sum(f.stat().st_size for f in files), len(files))
    folder.unlink() if folder.is_file() else shutil.rmtree(folder)
    return figures


def memmap_writer(path: Path, images: Images) -> Callable[[], Callable[..., Any]]:
    """Write a NumPy file, date after date."""

    def write() -> Callable[..., Any]:
        shape = (len(images), *images[0].shape)
        target = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        for index, image in enumerate(images):
            target[index] = image
        target.flush()
        source = np.load(path, mmap_mode="r")
        return lambda t, y, x: np.array(source[t, :, y, x])

    return write


def zarr_writer(path: Path, images: Images, candidate: Candidate) -> Callable[[], Callable[..., Any]]:
    """Write a Zarr array, date after date and shard after shard."""

    def write() -> Callable[..., Any]:
        array = candidate.make(path, (len(images), *images[0].shape))
        edge = candidate.shard[1] if candidate.shard else images[0].shape[-1]
        for index, image in enumerate(images):
            for y in range(0, image.shape[1], edge):
                for x in range(0, image.shape[2], edge):
                    window = (slice(None), slice(y, y + edge), slice(x, x + edge))
                    array[(index, *window)] = image[window]
        return lambda t, y, x: np.asarray(array[t, :, y, x])

    return write


def cube_writer(path: Path, images: Images) -> Callable[[], Callable[..., Any]]:
    """Append to a cube and open it."""

    def write() -> Callable[..., Any]:
        affine = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_600_000.0)
        create_cube(path, GeoBox(images[0].shape[1:], affine, "EPSG:32631"))
        for index, image in enumerate(images):
            moment = np.datetime64("2020-01-01", "ns") + np.timedelta64(6 * index, "D")
            append(path, SarAcquisition(time=moment, bands=("VV", "VH"), backscatter=image))
        pixels = open_cube(path)["sar"]["backscatter"]
        return lambda t, y, x: pixels[t, :, y, x].values

    return write


def median(runs: list[Figures]) -> Figures:
    """Take the median of the repeats."""
    names = ("write", "date", "tile")
    middle = [statistics.median(getattr(run, name) for run in runs) for name in names]
    return Figures(*middle, runs[0].size, runs[0].files)


def table(rows: dict[str, list[Figures]], raw: int) -> str:
    """Show all candidates as Markdown."""
    plain = median(rows["memmap"])
    lines = [
        "| chunk / shard / compression | size | files | write MB/s | write x | one date ms | one date x "
        "| tile ms | tile x |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for label, runs in rows.items():
        f = median(runs)
        lines.append(
            f"| {label} | {f.size / raw:.2f} | {f.files} | {raw / f.write / 1e6:.0f} "
            f"| {f.write / plain.write:.1f} | {1e3 * f.date:.0f} | {f.date / plain.date:.1f} "
            f"| {1e3 * f.tile:.1f} | {f.tile / plain.tile:.0f} |"
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="rows and columns")
    parser.add_argument("--dates", type=int, default=16, help="number of dates")
    parser.add_argument("--tile", type=int, default=64, help="edge of the small tile")
    parser.add_argument("--repeats", type=int, default=3, help="of everything; medians are shown")
    parser.add_argument("--seed", type=int, default=0, help="of the speckle and of the places read")
    parser.add_argument("--cold", action="store_true", help="drop files from memory before reading")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    return parser.parse_args()


def main() -> None:
    """Measure all candidates."""
    args = arguments()
    images = speckle(args.dates, 2, args.size, args.seed)
    rows: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for _ in range(args.repeats):
            path = Path(folder, "memmap.npy")
            rows.setdefault("memmap", []).append(measure(path, memmap_writer(path, images), images, args))
            for candidate in CANDIDATES:
                path = Path(folder, "array.zarr")
                figures = measure(path, zarr_writer(path, images, candidate), images, args)
                rows.setdefault(candidate.label, []).append(figures)
            path = Path(folder, "cube.zarr")
            figures = measure(path, cube_writer(path, images), images, args)
            rows.setdefault("**the cube** (append, open_cube)", []).append(figures)
    raw = images[0].nbytes * args.dates
    print(f"{args.dates} dates x 2 bands x {args.size}² float32 = {raw / 1e6:.0f} MB; tile {args.tile}²; "
          f"{'cold' if args.cold else 'warm'} reads; medians of {args.repeats}\n")  # fmt: skip
    print(table(rows, raw))


if __name__ == "__main__":
    main()
