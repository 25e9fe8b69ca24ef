"""What `terradelta database` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from terradelta.workflows.config.base import Settings, Written

__all__ = [
    "DatabaseCheckSettings",
    "DatabaseCreateSettings",
    "DatabaseExportSettings",
    "DatabaseLandSettings",
    "DatabaseLoadSettings",
    "DatabaseSettings",
    "parse_pairs",
]


def parse_pairs(value: Any) -> Any:
    """Read names for names.

    Parameters
    ----------
    value : str or dict
        ``a=b,c=d``, or a mapping.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If a part has no ``=``.

    Examples
    --------
    >>> parse_pairs("suo=mire, järvi=lake")
    {'suo': 'mire', 'järvi': 'lake'}
    """
    if not isinstance(value, str):
        return value
    parts = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(equals and name.strip() and meaning.strip() for name, equals, meaning in parts):
        raise ValueError("write pairs such as suo=mire,jarvi=lake")
    return {name.strip(): meaning.strip() for name, _, meaning in parts}


Pairs = Annotated[dict[str, str], BeforeValidator(parse_pairs), Written("<name=class,...>")]


class DatabaseSettings(Settings):
    """Which database."""

    database: str = Field(
        "",
        repr=False,
        description="Address, postgresql://USER@HOST:PORT/NAME; empty: TERRADELTA_DATABASE, then libpq's own "
        "variables (PGHOST, PGPASSWORD ...). Better no password here: other users see it.",
    )
    tables: str = Field("terradelta", min_length=1, description="Schema of the tables.")


class DatabaseCreateSettings(DatabaseSettings):
    """Make the tables in a PostgreSQL database with PostGIS; what is there already stays."""

    reader: str = Field("", description="Existing role that may read everything from now on; empty: none.")


class DatabaseLoadSettings(DatabaseSettings):
    """Copy a cube into the database; what is there already stays."""

    cube: Path = Field(description="Cube to read.")
    place: str = Field("", description="Its name in the database; empty: that of the cube or its folder.")


class DatabaseLandSettings(DatabaseSettings):
    """Copy polygons of land cover into the database, all or none."""

    file: Path = Field(description="GeoPackage, GeoParquet, Shapefile or GeoJSON.")
    dataset: str = Field("", description="Name in the database; empty: that of the file.")
    crs: str = Field("", description="CRS to convert to; empty: that of the place.")
    place: str = Field("", description="Place whose CRS is taken; empty: the only one.")
    layer: str = Field("", description="Layer of the file; needed where there are several.")
    layers: Pairs = Field({}, description="Several layers, each with its class, in place of a column.")
    class_column: str = Field("class", description="Column that tells the class.")
    classes: Pairs = Field(
        {},
        description="Class (forest, mire, field, meadow, lake, open, urban) of each value of the column; "
        "other values are left out; empty: the column holds these names.",
    )


class DatabaseExportSettings(DatabaseSettings):
    """Write a place of the database as a cube, equal to the one that was loaded."""

    cube: Path = Field(description="Cube to write, or to go on with.")
    place: str = Field("", description="Which place; empty: the only one.")


class DatabaseCheckSettings(DatabaseSettings):
    """Tell whether the database can be used, and what it holds."""
