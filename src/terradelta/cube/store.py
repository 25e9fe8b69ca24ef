"""The cube as a whole on disk: making one, and reading what it says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr
from odc.geo.geobox import GeoBox

from terradelta.cube.files import read_json, storage_errors, write_json
from terradelta.cube.grid import describe_grid, grid_document, grid_from
from terradelta.cube.locking import exclusive
from terradelta.cube.schema import SCHEMA
from terradelta.errors import ConflictError, CubeError, InputError
from terradelta.types import PathType, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Header", "create_cube", "geobox_of", "group_document", "read_header", "require_same"]


@dataclass(frozen=True)
class Header:
    """What a cube says about itself.

    Attributes
    ----------
    path : Path
        Where it lies.
    geobox : GeoBox
        Grid of all its rasters.
    name : str
        Name of the place.

    Examples
    --------
    >>> from affine import Affine
    >>> Header(Path("a.zarr"), GeoBox((4, 5), Affine.scale(10, -10), "EPSG:32631"), "").size
    Size(y=4, x=5)
    """

    path: Path
    geobox: GeoBox
    name: str

    @property
    def size(self) -> Size:
        """Rows and columns."""
        return Size(*self.geobox.shape)


def create_cube(path: PathType, geobox: GeoBox, *, name: str = "") -> None:
    """Make an empty cube; one on the same grid that is already there stays as it is.

    Parameters
    ----------
    path : path
        Folder to make, by custom ending in ``.zarr``.
    geobox : odc.geo.geobox.GeoBox
        CRS, resolution, origin and size of all rasters of the place.
    name : str
        Name of the place.

    Raises
    ------
    ConflictError
        If a cube on another grid, or of another name, is there.
    InputError
        If the grid has no CRS or no pixels, or the path holds something else.
    StorageError
        If the folder cannot be made.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp() + "/liege.zarr"
    >>> create_cube(folder, GeoBox.from_bbox((500_000, 0, 500_100, 80), "EPSG:32631", resolution=10))
    >>> read_header(folder).size
    Size(y=8, x=10)
    """
    path = Path(path)
    if not isinstance(geobox, GeoBox) or geobox.crs is None:
        raise InputError(f"a cube needs a grid with a CRS, got {geobox!r}; give an odc.geo GeoBox")
    if 0 in geobox.shape:
        raise InputError(f"the grid has {geobox.shape[0]} x {geobox.shape[1]} pixels; expected at least one")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path):
            if (path / "zarr.json").exists():
                require_same(read_header(path), geobox, name)
                return
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise InputError(f"{path} is there and is no cube; choose another path or remove it")
            root = {"terradelta_schema": SCHEMA, "name": name, "grid": grid_document(geobox)}
            write_json(path / "zarr.json", group_document(root))


def require_same(header: Header, geobox: GeoBox, name: str) -> None:
    """Refuse a cube of another place.

    Parameters
    ----------
    header : Header
        The cube.
    geobox : GeoBox
        Grid that it should have.
    name : str
        Name of the place; empty: any.

    Raises
    ------
    ConflictError
        It is on another grid, or of another name.
    """
    if header.geobox != geobox:
        raise ConflictError(
            f"{header.path} has the grid {describe_grid(header.geobox)}, not {describe_grid(geobox)}; "
            "choose another path"
        )
    if name and header.name and name != header.name:
        raise ConflictError(f"{header.path} is named {header.name!r}, not {name!r}; choose another path")


def group_document(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Give the ``zarr.json`` of a group.

    Parameters
    ----------
    attributes : mapping
        Its attributes.

    Returns
    -------
    dict
        The document.

    Examples
    --------
    >>> group_document({"name": "x"})
    {'zarr_format': 3, 'node_type': 'group', 'attributes': {'name': 'x'}}
    """
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def read_header(path: PathType) -> Header:
    """Read what a cube says about itself.

    Parameters
    ----------
    path : path
        The cube.

    Returns
    -------
    Header
        Path, grid and name.

    Raises
    ------
    CubeError
        If there is nothing, no cube, a damaged one, or one of a newer schema.
    """
    path = Path(path)
    if not path.exists():
        raise CubeError(
            f"{path} does not exist; make it with terradelta.create_cube or `terradelta cube build`"
        )
    document = read_json(path / "zarr.json")
    attributes = (document or {}).get("attributes", {})
    schema = attributes.get("terradelta_schema")
    if not isinstance(schema, int):
        raise CubeError(f"{path} is no terradelta cube: its zarr.json does not tell a terradelta_schema")
    if schema > SCHEMA:
        raise CubeError(
            f"{path} has schema {schema}, this terradelta reads up to {SCHEMA}: upgrade terradelta"
        )
    try:
        geobox = grid_from(attributes["grid"])
    except (KeyError, TypeError, ValueError) as error:
        raise CubeError(
            f"{path} does not tell its grid ({error!r}); restore its zarr.json from a copy"
        ) from None
    return Header(path, geobox, str(attributes.get("name", "")))


def geobox_of(tree: xr.DataTree | xr.Dataset | xr.DataArray) -> GeoBox:
    """Tell the grid of a cube, or of anything on a grid.

    Parameters
    ----------
    tree : DataTree, Dataset or DataArray
        A cube, in memory or opened, or one of its parts.

    Returns
    -------
    odc.geo.geobox.GeoBox
        CRS, affine and shape.

    Raises
    ------
    CubeError
        If no grid with a CRS is found.

    Examples
    --------
    >>> from affine import Affine
    >>> from terradelta.cube.grid import grid_coords
    >>> geobox = GeoBox((4, 5), Affine.scale(10, -10), "EPSG:32631")
    >>> geobox_of(xr.Dataset(coords=grid_coords(geobox))) == geobox
    True
    """
    parts: list[Any] = [tree]
    if isinstance(tree, xr.DataTree):
        names = [name for name in ("sar", "optical", "static", "truth") if name in tree.children]
        parts = [tree[name].to_dataset() for name in names]
    for part in parts:
        geobox = part.odc.geobox
        if isinstance(geobox, GeoBox) and geobox.crs is not None:
            return geobox
    source = tree.encoding.get("source") if isinstance(tree, xr.DataTree) else None
    if source:
        return read_header(source).geobox
    raise CubeError("no grid with a CRS found; give a cube, or a dataset with x, y and spatial_ref")
