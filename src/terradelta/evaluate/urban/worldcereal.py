"""A real series of radar and optical images, with stand-ins for what is missing.

The WorldCereal sites have radar from two ascending tracks and surface reflectance (L2A) of ten bands. So the
second track stands in for the descending one, and the bands that are missing are filled. The values of a
network trained on other input mean little then; what this shows is that the chain works on real dates, gaps
and clouds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr

from terradelta.errors import SourceError
from terradelta.evaluate.scores import share_above
from terradelta.evaluate.sites import SITE, TRACKS
from terradelta.evaluate.urban.networks import Peaks, Progress, Watch, load_networks, no_progress, watch
from terradelta.evaluate.urban.writing import as_json, table, write_files
from terradelta.types import PathType

__all__ = ["SeriesFigures", "load_site", "run", "stand_in"]

_AS_DESCENDING = 59
_NEIGHBOURS = {"B01": "B02", "B09": "B8A"}
_CIRRUS = 0.0015
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_EDGE = 8
_LEVELS = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class SeriesFigures:
    """What came out for a series without labels.

    Attributes
    ----------
    radar, optical : int
        Images read.
    windows : int
        Complete windows.
    fewest, most : int
        Observations in a window.
    first, last : str
        First observation of the first window, last one of the last.
    days : tuple of float
        Shortest and longest window, from first to last observation.
    quantiles : dict of str to float
        Of the largest value of each pixel over all windows, without the 8 pixels at the edge of the cube,
        beyond which the network sees a mirror image only.
    above, edge : float
        Share of the pixels whose largest value is above 0.5: without that edge, and on it.
    """

    radar: int
    optical: int
    windows: int
    fewest: int
    most: int
    first: str
    last: str
    days: tuple[float, float]
    quantiles: dict[str, float]
    above: float
    edge: float


def run(
    data: PathType,
    out: PathType,
    weights: Sequence[PathType],
    *,
    how: Watch | None = None,
    progress: Progress = no_progress,
) -> str:
    """Run networks over the real series of a site, and write figures and picture.

    Parameters
    ----------
    data : path
        Folder of the site, or the one above it.
    out : path
        Folder for ``worldcereal.md``, ``worldcereal.json`` and ``worldcereal.png``.
    weights : sequence of path
        Networks that read both sensors.
    how : Watch, optional
        Stride (5 by default) and device.
    progress : callable, optional
        Takes a label and a number of steps, gives a context manager that gives a function to advance.

    Returns
    -------
    str
        The Markdown table.

    Raises
    ------
    SourceError
        If the site is not there.
    InputError
        If there are no networks.
    StorageError
        If the output cannot be written.
    """
    from terradelta.evaluate.urban.pictures import draw_series

    folder, nets, how = _site(Path(data)), load_networks(weights), how or Watch(stride=5)
    with progress("evaluate", 2) as advance:
        cube = stand_in(load_site(folder))
        advance(1)
        peaks = watch(cube, nets, how)
        advance(1)
    figures = describe(cube, peaks)
    text = _markdown(figures)
    picture = draw_series(cube, peaks)
    files = {"worldcereal.json": as_json(asdict(figures)), "worldcereal.png": picture}
    write_files(out, files | {"worldcereal.md": f"{text}\n".encode()})
    return text


def _site(data: Path) -> Path:
    for folder in (data, data / SITE):
        if any(folder.glob("S1_*.nc")) and any(folder.glob("S2_*.nc")):
            return folder
    raise SourceError(
        f"{data} holds no S1_*.nc and S2_*.nc; give the folder of the WorldCereal site with --data"
    )


def load_site(folder: Path) -> xr.DataTree:
    """Read radar and optical series of a site into memory, on its 10 m grid.

    Parameters
    ----------
    folder : pathlib.Path
        Of the site.

    Returns
    -------
    xarray.DataTree
        Groups ``sar`` (resampled from 20 m) and ``optical`` (ten bands).

    Raises
    ------
    SourceError
        If the files cannot be read.
    """
    from terradelta.cube import open_cube
    from terradelta.sources import build_cube

    with TemporaryDirectory(prefix="terradelta-") as temporary:
        path = Path(temporary) / "site.zarr"
        build_cube(folder, path, pattern="S[12]_*", sidecar=TRACKS, resolution=10.0)
        cube = open_cube(path)
        groups = {name: cube[name].to_dataset().load() for name in ("sar", "optical")}
    return xr.DataTree.from_dict(groups)


def stand_in(site: xr.DataTree) -> xr.DataTree:
    """Give a site what a network wants: a descending track and 13 bands.

    Relative orbit 59 is relabelled as descending. B01 is filled with B02, B09 with B8A, B10 (cirrus, which
    surface reflectance does not have) with 0.0015.

    Parameters
    ----------
    site : xarray.DataTree
        From `load_site`.

    Returns
    -------
    xarray.DataTree
        A new tree.
    """
    sar, optical = site["sar"].to_dataset(), site["optical"].to_dataset()
    direction = np.where(sar["relative_orbit"].values == _AS_DESCENDING, "descending", "ascending")
    sar = sar.assign_coords(orbit_direction=("time", direction.astype(object)))
    bands = [
        optical["reflectance"].sel(band=_NEIGHBOURS.get(band, band), drop=True)
        for band in _BANDS
        if band != "B10"
    ]
    cirrus = bands[0].where(bands[0].isnull(), _CIRRUS)
    bands.insert(_BANDS.index("B10"), cirrus)
    reflectance = xr.concat(bands, xr.Variable("band", np.array(_BANDS, object))).transpose(
        "time", "band", "y", "x"
    )
    optical = optical.drop_dims("band").assign(reflectance=reflectance)
    return xr.DataTree.from_dict({"sar": sar, "optical": optical})


def describe(cube: xr.DataTree, peaks: Peaks) -> SeriesFigures:
    """Give the figures of a series.

    Parameters
    ----------
    cube : xarray.DataTree
        What the networks saw.
    peaks : Peaks
        What they said.

    Returns
    -------
    SeriesFigures
    """
    windows = peaks.windows
    counts, starts, ends = (windows[name].values for name in ("count", "start", "end"))
    lengths = (ends - starts) / np.timedelta64(1, "D")
    inside = np.zeros(peaks.score.shape, bool)
    inside[_EDGE:-_EDGE, _EDGE:-_EDGE] = True
    known = peaks.score[inside & np.isfinite(peaks.score)]
    return SeriesFigures(
        radar=cube["sar"].sizes["time"],
        optical=cube["optical"].sizes["time"],
        windows=windows.sizes["window"],
        fewest=int(counts.min()),
        most=int(counts.max()),
        first=str(starts.min().astype("datetime64[D]")),
        last=str(ends.max().astype("datetime64[D]")),
        days=(round(float(lengths.min()), 1), round(float(lengths.max()), 1)),
        quantiles={f"{level:g}": round(float(np.quantile(known, level)), 4) for level in _LEVELS},
        above=share_above(peaks.score, 0.5, inside),
        edge=share_above(peaks.score, 0.5, ~inside),
    )


def _markdown(figures: SeriesFigures) -> str:
    rows = [
        ["images read", f"{figures.radar} radar, {figures.optical} optical"],
        ["windows", f"{figures.windows}, {figures.first} to {figures.last}"],
        ["observations in a window", f"{figures.fewest} to {figures.most}"],
        ["days in a window", f"{figures.days[0]:g} to {figures.days[1]:g}"],
        *([f"largest value, quantile {level}", f"{value:.3f}"] for level, value in figures.quantiles.items()),
        ["pixels with a value > 0.5", f"{figures.above:.2%}"],
        ["the same on the edge of 8 pixels", f"{figures.edge:.2%}"],
    ]
    return table(["WorldCereal, Flanders", ""], rows)
