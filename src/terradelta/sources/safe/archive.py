"""The files of a SAFE product, unpacked or zipped; XML is read without entities."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from terradelta.errors import SourceError

__all__ = ["MANIFEST", "Archive", "number", "text_of"]

MANIFEST = "manifest.safe"
_LARGEST = 256 * 2**20


@dataclass(frozen=True)
class Archive:
    """The files of one product.

    Attributes
    ----------
    path : pathlib.Path
        Folder of the product, or a zip file that holds it.
    """

    path: Path

    @property
    def name(self) -> str:
        """Name of the product, without ending."""
        return self.path.name.split(".")[0]

    def files(self) -> dict[str, str]:
        """Give all files: path inside the product, and where it lies in the folder or the zip file."""
        try:
            if self.path.is_dir():
                files = [file for file in self.path.rglob("*") if file.is_file()]
                return {file.relative_to(self.path).as_posix(): str(file) for file in sorted(files)}
            with zipfile.ZipFile(self.path) as archive:
                names = sorted(archive.namelist())
        except (OSError, zipfile.BadZipFile) as error:
            raise SourceError(f"{self.path.name}: cannot be read ({error}); fetch it again") from error
        manifest = next((name for name in names if name.rpartition("/")[2] == MANIFEST), MANIFEST)
        root = manifest.removesuffix(MANIFEST)
        return {name.removeprefix(root): name for name in names if name.startswith(root)}

    def xml(self, name: str) -> ElementTree.Element:
        """Read one XML file of the product.

        Raises
        ------
        SourceError
            It is missing, damaged, or declares a document type, which none of ESA's files does.
        """
        where = self.files().get(name)
        if where is None:
            raise SourceError(f"{self.path.name}: has no {name}; fetch the product again")
        try:
            parser = ElementTree.XMLParser(target=_NoEntities())
            parser.feed(self._bytes(where))
            root: ElementTree.Element = parser.close()
        except (OSError, ElementTree.ParseError, zipfile.BadZipFile, RuntimeError) as error:
            raise SourceError(f"{self.path.name}: {name} cannot be read ({error}); fetch it again") from error
        return root

    def raster(self, name: str) -> str:
        """Tell where rasterio finds a raster of the product."""
        where = self.files()[name]
        return where if self.path.is_dir() else f"/vsizip/{self.path}/{where}"

    def _bytes(self, where: str) -> bytes:
        if self.path.is_dir():
            return Path(where).read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            size = archive.getinfo(where).file_size
            if size > _LARGEST:
                raise SourceError(
                    f"{self.path.name}: {where} unpacks to {size} bytes; this is no SAFE product"
                )
            return archive.read(where)


class _NoEntities(ElementTree.TreeBuilder):
    """Builds the tree, and refuses document types before an entity can be declared in one."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Refuse."""
        raise ElementTree.ParseError(f"it declares a document type {name!r}")


def text_of(element: ElementTree.Element, path: str, default: str | None = None) -> str:
    """Text at a path below an element, whatever its namespace; the default where there is none.

    Raises
    ------
    SourceError
        There is none, and no default.
    """
    found = element.find(
        "/".join(f"{{*}}{part}" if part.isidentifier() else part for part in path.split("/"))
    )
    if found is not None and found.text and found.text.strip():
        return found.text.strip()
    if default is None:
        raise SourceError(
            f"{element.tag.rpartition('}')[2]} has no {path}; this is no Sentinel-1 SAFE product"
        )
    return default


def number(element: ElementTree.Element, path: str, default: Any = None) -> float:
    """Give the number at a path below an element.

    Raises
    ------
    SourceError
        It is missing, and there is no default; or it is no number.
    """
    text = text_of(element, path, None if default is None else str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SourceError(f"{path} is {text!r}, no number; this is no Sentinel-1 SAFE product")
    return value
