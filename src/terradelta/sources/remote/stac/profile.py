"""What is known about a catalogue: its address, products, names of assets, units and ways of access."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from terradelta.errors import ConfigError

__all__ = ["Access", "ProductProfile", "Profile", "load_profile", "profile_names"]

Kind = Literal["sar", "optical", "dem", "land_cover"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Access(_Strict):
    """How links are signed and files opened."""

    signing: Literal["none", "planetary-computer"] = Field(
        "none", description="Way in which links are signed."
    )
    address: str = Field("", description="Where tokens for signed links come from.")
    hosts: tuple[str, ...] = Field((), description="Ends of the names of hosts whose links are signed.")
    needs: tuple[str, ...] = Field((), description="Environment variables without which s3:// is not asked.")
    options: dict[str, str] = Field({}, description="Options of GDAL for reading.")
    help: str = Field("", description="Where credentials come from, for messages.")


class ProductProfile(_Strict):
    """One product: a collection, and how its items are to be read."""

    collection: str = Field(description="Id of the collection.")
    kind: Kind = Field(description="sar, optical, dem or land_cover.")
    bands: dict[str, str | tuple[str, ...]] = Field(
        {}, description="Asset of each band of the cube; of several names the first one there."
    )
    mask: str = Field("", description="Asset of the scene classification.")
    clear: tuple[int, ...] = Field((4, 5, 6, 7), description="Classes of the mask that count as clear.")
    unit: Literal["linear", "dB", "amplitude", "reflectance", ""] = Field(
        "", description="Unit of the numbers."
    )
    scale: float = Field(1.0, description="Value = number * scale.")
    nodata: tuple[float, ...] = Field((), description="Numbers that mean no data, beside the file's own.")
    zero_is_nodata: bool = Field(True, description="Zeros mean no data (radar and optical).")
    offset: tuple[str, ...] = Field(
        (), description="Rules for the Sentinel-2 offset, the first that knows it decides."
    )
    radiometry: str = Field("", description="What radar measures: gamma0-rtc, sigma0-ellipsoid, ...")
    refused: str = Field("", description="Why the product cannot be used, and what to take instead.")


class Profile(_Strict):
    """A catalogue."""

    name: str = Field(description="Name in messages and keys.")
    address: str = Field(description="Address of the API, or of a static catalogue.")
    defaults: tuple[str, ...] = Field((), description="Products that come unless told otherwise.")
    cloud: str = Field("eo:cloud_cover", description="Property with the cloud cover in percent.")
    relative_orbit: str = Field("sat:relative_orbit", description="Property with the relative orbit.")
    direction: str = Field("sat:orbit_state", description="Property with the direction.")
    page_size: int = Field(100, ge=1, description="Items asked for at a time.")
    access: Access = Field(Access(), description="How links are signed and files opened.")
    products: dict[str, ProductProfile] = Field({}, description="Products by name.")


def profile_names() -> tuple[str, ...]:
    """Names of the profiles that come with the package.

    Examples
    --------
    >>> profile_names()
    ('copernicus', 'earth-search', 'planetary-computer')
    """
    return tuple(sorted(Path(file.name).stem for file in _folder().iterdir() if file.name.endswith(".yaml")))


def load_profile(where: str) -> Profile:
    """Read a profile: one of the package by its name, or a file of one's own.

    Parameters
    ----------
    where : str
        Name, or path of a YAML file.

    Raises
    ------
    ConfigError
        No such profile, or a wrong key in it.

    Examples
    --------
    >>> load_profile("planetary-computer").products["sentinel-1-rtc"].radiometry
    'gamma0-rtc'
    """
    try:
        if where in profile_names():
            text = (_folder() / f"{where}.yaml").read_text(encoding="utf-8")
        else:
            text = Path(where).read_text(encoding="utf-8")
        return Profile.model_validate(yaml.safe_load(text))
    except OSError as error:
        raise ConfigError(
            f"{where}: no profile of a catalogue ({error.strerror}); there are {', '.join(profile_names())}"
        ) from error
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{where}: {_first(error)}; see docs/catalogues.md") from error


def _first(error: yaml.YAMLError | ValidationError) -> str:
    """Give the first problem in one line."""
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
    return " ".join(str(error).split())


def _folder() -> Traversable:
    return files("terradelta.sources.remote.stac") / "profiles"
