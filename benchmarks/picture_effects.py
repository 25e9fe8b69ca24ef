"""Draw the effects of a simulated place, each as the difference of two acquisitions.

Run as `python benchmarks/picture_effects.py docs/pictures/effects.png`; it takes ten seconds.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from PIL import Image

from terradelta.simulate import COVERS, ORBITS, Effects, place
from terradelta.types import FloatArray

LIMIT = 4.0
COLOURS = ("#2f6b3a", "#a9c77d", "#e6cf86", "#b05545", "#b9a99a", "#4f80b5")
SETTINGS = {"size": 112, "years": 2.0, "start": "2019-12-01", "orbits": ORBITS, "changes": 0, "seed": 4}


def images(effect: str | None, **settings: object) -> xr.Dataset:
    """Simulate the place with one effect, or with none."""
    effects = Effects.only(*([effect] if effect else []))
    return place(**SETTINGS, effects=effects, optical_days=0, **settings)["sar"].to_dataset()


def first(sar: xr.Dataset, orbit: int = 0) -> int:
    """Give the first pass of an orbit."""
    return int(np.flatnonzero(sar["relative_orbit"].values == ORBITS[orbit].number)[0])


def on_day(sar: xr.Dataset, month: int, day: int) -> int:
    """Give the pass nearest to a day of 2020."""
    asked = np.datetime64(f"2020-{month:02d}-{day:02d}T12", "ns")
    return int(np.abs(sar["time"].values - asked).argmin())


def pairs(weather: xr.Dataset, sar: xr.Dataset) -> dict[str, tuple[str, int, int, int, dict[str, object]]]:
    """Say for each effect: title, pass to see, pass to compare with, band, settings."""
    then = weather.sel(day=sar["time"].dt.floor("D").values)
    warmth, depth = then["temperature"].values, then["snow_depth"].values
    rain = weather["precipitation"].rolling(day=3, min_periods=1).sum()
    wet = np.where(warmth > 3, rain.sel(day=sar["time"].dt.floor("D").values).values, np.nan)
    mild, melting = int(warmth.argmax()), int(np.where(warmth > 0.5, depth, -1).argmax())
    up, down = first(sar, 0), first(sar, 1)
    second = int(np.flatnonzero(sar["platform"].values == "S1B")[0])
    july, january = on_day(sar, 7, 20), on_day(sar, 1, 12)
    return {
        "incidence": ("incidence: 43.2° − 34.4°", down, first(sar, 2), 0, {}),
        "terrain": ("slopes: asc. − desc. orbit", up, down, 0, {}),
        "edges": ("edges: asc. − desc. orbit", up, down, 0, {}),
        "moisture": ("moisture: after rain − dry", int(np.nanargmax(wet)), int(np.nanargmin(wet)), 0, {}),
        "frost": ("frost: hardest − mild", int(warmth.argmin()), mild, 0, {}),
        "snow": ("wet snow: melting − none", melting, mild, 0, {}),
        "foliage": ("foliage, VH: July − January", july, january, 1, {}),
        "crops": ("crops: May − January", on_day(sar, 5, 15), january, 0, {}),
        "wind": ("wind: two days", up, up + 5, 0, {}),
        "satellite": ("satellites: S1B − S1A", second, first(sar, 1), 0, {}),
        "gain": ("gain: two days", up, up + 5, 0, {}),
        "points": ("points: asc. − desc. orbit", up, down, 0, {}),
        "speckle": ("speckle: two days", up, up + 5, 0, {}),
        "refined Lee": ("the same, refined Lee", up, up + 5, 0, {"smoothing": "refined_lee"}),
    }


def difference(name: str, choice: tuple[str, int, int, int, dict[str, object]]) -> FloatArray:
    """Subtract two acquisitions in dB, with one effect on."""
    _, seen, before, band, settings = choice
    effect = "speckle" if name == "refined Lee" else name
    stack = images(effect, **settings)["backscatter"].values
    return 10 * np.log10(stack[seen, band] / stack[before, band])


def cover(axes: Axes, land_cover: FloatArray) -> None:
    """Draw the land cover."""
    index = np.searchsorted([int(each.cover) for each in COVERS], land_cover)
    axes.imshow(index, cmap=ListedColormap(COLOURS), vmin=-0.5, vmax=5.5, interpolation="nearest")
    axes.set_title("land cover", fontsize=9)
    for number, (each, colour) in enumerate(zip(COVERS, COLOURS, strict=True)):
        where = (0.02 + 0.34 * (number % 3), -0.05 - 0.09 * (number // 3))
        text = each.cover.name.lower()
        axes.text(*where, f"■ {text}", color=colour, fontsize=7, transform=axes.transAxes, va="top")


def main(path: Path) -> None:
    """Draw all panels and write a PNG of 256 colours."""
    tree = place(**SETTINGS, effects=Effects.only(), optical_days=0)
    choices = pairs(tree["weather"].to_dataset(), tree["sar"].to_dataset())
    figure = Figure(figsize=(11.5, 7.6), facecolor="white", layout="constrained")
    axes = figure.subplots(3, 5).ravel()
    cover(axes[0], tree["static"]["land_cover"].values)
    for one, (name, choice) in zip(axes[1:], choices.items(), strict=True):
        change = difference(name, choice)
        print(f"{choice[0]:40s} mean {change.mean():+.2f} dB, {change.min():+.2f} to {change.max():+.2f}")
        one.imshow(change, cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, interpolation="nearest")
        one.set_title(choice[0], fontsize=9)
    for one in axes:
        one.set_axis_off()
    scale = ScalarMappable(Normalize(-LIMIT, LIMIT), "RdBu_r")
    figure.colorbar(scale, ax=axes.tolist(), shrink=0.5, label="difference in dB", extend="both")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    Image.open(buffer).convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
