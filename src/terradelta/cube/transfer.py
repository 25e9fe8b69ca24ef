"""From memory to disk: a whole tree of the same data model into a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from terradelta.cube.acquisitions import Acquisition, OpticalAcquisition, SarAcquisition
from terradelta.cube.append import append_all
from terradelta.cube.layers import write_layer
from terradelta.cube.schema import LAYER_GROUPS, SERIES
from terradelta.cube.store import create_cube, geobox_of
from terradelta.cube.weather import write_weather
from terradelta.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

    from terradelta.types import PathType

__all__ = ["acquisitions_of", "write_cube"]


def write_cube(tree: xr.DataTree, path: PathType) -> None:
    """Write a tree of the cube's data model, for instance a simulated place, to disk.

    What is there already stays: an interrupted call is completed by the same call.

    Parameters
    ----------
    tree : xarray.DataTree
        Groups ``sar``, ``optical``, ``static``, ``weather``, ``truth`` as far as they exist,
        in memory or lazy.
    path : path
        Folder of the cube.

    Raises
    ------
    ConflictError
        If a cube of other content is there.
    InputError
        If a group is unknown or does not follow the data model.
    LockedError, StorageError
        If another process holds the cube, or the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, xarray as xr
    >>> from odc.geo.geobox import GeoBox
    >>> from terradelta.cube import open_cube
    >>> from terradelta.cube.grid import grid_coords
    >>> geobox = GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10)
    >>> ground = xr.Dataset({"dem": (("y", "x"), np.zeros((8, 10)))}, coords=grid_coords(geobox))
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> write_cube(xr.DataTree.from_dict({"static": ground}), folder)
    >>> open_cube(folder)["static"].ds.odc.geobox == geobox
    True
    """
    unknown = set(tree.children) - {*SERIES, *LAYER_GROUPS, "weather"}
    if unknown:
        raise InputError(
            f"a cube has no group {', '.join(sorted(unknown))}; expected those of the data model"
        )
    create_cube(path, geobox_of(tree), name=str(tree.attrs.get("name", "")))
    for group in LAYER_GROUPS:
        if group in tree.children:
            for name, layer in tree[group].to_dataset().data_vars.items():
                write_layer(path, group, str(name), layer.data, dict(layer.attrs))
    if "weather" in tree.children:
        write_weather(path, tree["weather"].to_dataset())
    for group in SERIES:
        if group in tree.children:
            dataset = tree[group].to_dataset()
            append_all(path, acquisitions_of(dataset, group), mixed=_is_mixed(dataset))


def _is_mixed(dataset: xr.Dataset) -> bool:
    """Whether a tree holds several radiometries itself: somebody chose to."""
    known = set(dataset["radiometry"].values.tolist()) if "radiometry" in dataset.coords else set()
    return len(known - {""}) > 1


def acquisitions_of(dataset: xr.Dataset, group: str) -> Iterator[Acquisition]:
    """Take a group apart into its acquisitions.

    Parameters
    ----------
    dataset : xarray.Dataset
        The group ``sar`` or ``optical``.
    group : str
        Its name.

    Yields
    ------
    SarAcquisition or OpticalAcquisition
        One per time, pixels not computed.

    Raises
    ------
    InputError
        If a variable or coordinate of the data model is missing.
    """
    spec = SERIES[group]
    names = {pixels.name: pixels.dims for pixels in spec.pixels}
    missing = [name for name in (*names, "time", "band") if name not in dataset.variables]
    if missing:
        raise InputError(f"group {group} lacks {', '.join(missing)}; see the data model of the cube")
    bands = tuple(str(band) for band in dataset["band"].values)
    known = [
        c.name for c in spec.columns if c.name in dataset.coords and c.name not in ("valid_share", "digest")
    ]
    images = {name: dataset[name].transpose(*dims).data for name, dims in names.items()}
    make: Any = SarAcquisition if group == "sar" else OpticalAcquisition
    for index, time in enumerate(dataset["time"].values):
        columns = {
            name: dataset[name].values[index].item()
            if hasattr(dataset[name].values[index], "item")
            else dataset[name].values[index]
            for name in known
        }
        yield make(time=time, bands=bands, **{n: image[index] for n, image in images.items()}, **columns)
