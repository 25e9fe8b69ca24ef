"""`terradelta.yaml`: what the names and tags of foreign files cannot say."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date, datetime, time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from terradelta.errors import ConfigError
from terradelta.types import PathType

__all__ = ["SIDECAR_NAME", "FeatureRule", "FileRule", "FileSettings", "OrbitRule", "Sidecar", "load_sidecar"]

SIDECAR_NAME = "terradelta.yaml"
SidecarLike: TypeAlias = "Sidecar | Mapping[str, Any] | PathType | None"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OrbitRule(_Model):
    """Relative orbit of the passes in a span of the day, for series that mix tracks."""

    after: Annotated[time, Field(description="First time of day (UTC), for example '17:36'.")]
    before: Annotated[time, Field(description="Last time of day (UTC), for example '17:45'.")]
    relative_orbit: Annotated[int, Field(ge=1, description="Relative orbit of those passes.")]


class FileSettings(_Model):
    """Facts about files. Every key may be left out; what is said here wins over names and tags."""

    sensor: Literal["sar", "optical", "static", "weather"] | None = Field(
        None, description="What the files hold."
    )
    ignore: bool = Field(False, description="Leave these files alone.")
    bands: list[str] | dict[str, str] | None = Field(
        None,
        description="Names of the bands in the file's order, or 'name in the file: name here' "
        "(VV, VH, B02, SCL). Bands not named here are left out.",
    )
    unit: Literal["linear", "dB", "amplitude", "DN", "reflectance"] | None = Field(
        None, description="Unit of raw * scale + offset; dB and amplitude become linear power."
    )
    scale: float | None = Field(None, description="Factor on the stored values (0.0001 for most Sentinel-2).")
    offset: float | None = Field(
        None, description="Added after scaling (the -1000 DN of Sentinel-2 since 2022 are -0.1)."
    )
    nodata: float | list[float] | None = Field(None, description="Stored values that mean no data.")
    negative: Literal["refuse", "nodata"] = Field(
        "refuse", description="Linear radar values below 0: refuse the image, or take them as no data."
    )
    time: str | list[str] | None = Field(
        None,
        description="Time of acquisition (ISO 8601, UTC), one per raster band as a list, or a pattern "
        "such as '%d%b%Y' that is looked for in the name.",
    )
    platform: str | None = Field(None, description="S1A, S1B, S2A, ...")
    orbit_direction: Literal["ascending", "descending"] | None = Field(
        None, description="Direction of flight."
    )
    relative_orbit: int | list[OrbitRule] | None = Field(
        None,
        description="Relative orbit (track), or a list of {after, before, relative_orbit} by time of day.",
    )
    incidence_angle: float | None = Field(
        None, gt=0, lt=90, description="Incidence angle at the scene's middle, in °."
    )
    heading: float | None = Field(None, ge=-360, le=360, description="Direction of flight from north, in °.")
    radiometry: (
        Literal[
            "sigma0-ellipsoid", "sigma0-rtc", "gamma0-ellipsoid", "gamma0-rtc", "sigma0", "gamma0", "beta0"
        ]
        | None
    ) = Field(
        None,
        description="What radar values measure: sigma0, gamma0 or beta0, with -rtc where terrain is "
        "corrected for, else -ellipsoid.",
    )
    crs: str | None = Field(None, description="CRS of files that carry none, for example 'EPSG:32631'.")
    layer: str | None = Field(None, description="Name of a static layer (dem, forest, land_cover, ...).")
    categorical: bool | None = Field(
        None, description="Static layer of classes (nearest neighbour) or of measurements (bilinear)."
    )
    clear_values: list[int] = Field(
        [4, 5, 6, 7],
        description="Classes of the mask band that count as clear (SCL: vegetation, bare, water, "
        "unclassified).",
    )
    mask_band: str = Field("SCL", description="Band that holds the mask's classes.")
    columns: dict[str, str] = Field(
        {}, description="Weather: 'temperature|precipitation|snow_depth|day: name in the file'."
    )
    units: dict[str, str] = Field(
        {},
        description="Weather: 'temperature|precipitation|snow_depth: unit', where the file tells none "
        "(K, mm, m, ...).",
    )
    location: str | None = Field(None, description="Weather: name of the place, where a file holds several.")
    accumulated: Literal["step", "day"] | None = Field(
        None,
        description="Weather: amounts within a day are those since the stamp before (step) or since 00 UTC "
        "(day); seen from the values by default.",
    )

    @field_validator("time", "times", mode="before", check_fields=False)
    @classmethod
    def _times_as_text(cls, value: object) -> object:
        """YAML turns bare dates into objects of its own."""
        if isinstance(value, list):
            return [cls._times_as_text(item) for item in value]
        return value.isoformat() if isinstance(value, (date, datetime)) else value


class FileRule(FileSettings):
    """Facts about the files whose name matches."""

    match: str = Field(description="Pattern of file names, for example 'S1_*.nc'.")


class FeatureRule(FileSettings):
    """Facts about a feature of an EOPatch."""

    mask: str | None = Field(None, description="Feature whose `clear_values` tell where the ground is seen.")
    valid: str | None = Field(None, description="Feature that is 0 where there is no data.")


class Sidecar(FileSettings):
    """The whole of `terradelta.yaml`: facts about all files, then exceptions by file name."""

    safe: str | None = Field(
        None, description="Folder with the Sentinel-1 SAFE products that the radar files were made from."
    )
    files: list[FileRule] = Field([], description="Facts that hold for some files only; later entries win.")
    features: dict[str, FeatureRule] = Field(
        {}, description="EOPatch: facts by feature, such as 'data/S1_*'; later entries win."
    )
    times: list[str] | None = Field(
        None, description="EOPatch: times (ISO 8601, UTC), where they cannot be read from it."
    )
    bounds: tuple[float, float, float, float] | None = Field(
        None, description="EOPatch: [left, bottom, right, top], where they cannot be read from it."
    )

    def for_file(self, name: str) -> FileSettings:
        """Facts about one file, by its name.

        Examples
        --------
        >>> sidecar = Sidecar(unit="dB", files=[{"match": "dem*", "sensor": "static", "unit": "linear"}])
        >>> sidecar.for_file("dem.tif").unit, sidecar.for_file("a.tif").unit
        ('linear', 'dB')
        """
        values = {key: getattr(self, key) for key in self.model_fields_set if key in _DEFAULTS}
        for rule in self.files:
            if fnmatchcase(name, rule.match):
                values |= {key: getattr(rule, key) for key in rule.model_fields_set if key != "match"}
        return FileSettings.model_construct(_fields_set=set(values), **{**_DEFAULTS, **values})

    def for_feature(self, patch: str, feature: str) -> FeatureRule:
        """Facts about one feature, such as "data/BANDS", of an EOPatch, by its name.

        Examples
        --------
        >>> sidecar = Sidecar(platform="S1A", features={"data/*": {"sensor": "sar", "bands": ["VV"]}})
        >>> rule = sidecar.for_feature("patch_0", "data/S1")
        >>> rule.bands, rule.platform
        (['VV'], 'S1A')
        """
        base = self.for_file(patch)
        values = {key: getattr(base, key) for key in base.model_fields_set}
        for pattern, rule in self.features.items():
            if fnmatchcase(feature, pattern):
                values |= {key: getattr(rule, key) for key in rule.model_fields_set}
        defaults = {name: field.default for name, field in FeatureRule.model_fields.items()}
        return FeatureRule.model_construct(_fields_set=set(values), **{**defaults, **values})


_DEFAULTS = {name: field.default for name, field in FileSettings.model_fields.items()}


def load_sidecar(sidecar: SidecarLike, folder: Path | None = None) -> Sidecar:
    """Read settings from a path, a mapping, or the `terradelta.yaml` in a folder; empty where there is none.

    Parameters
    ----------
    sidecar : Sidecar, mapping, path or None
        None means `terradelta.yaml` in `folder`, if it is there.
    folder : pathlib.Path, optional
        Folder of the data.

    Raises
    ------
    ConfigError
        An unknown key (with the nearest valid one), a value out of range, or a file that is no YAML.

    Examples
    --------
    >>> load_sidecar({"untis": "dB"})
    Traceback (most recent call last):
    terradelta.errors.ConfigError: settings: unknown key 'untis'; did you mean 'units'?
    """
    if isinstance(sidecar, Sidecar):
        return sidecar
    if isinstance(sidecar, Mapping):
        return _validated(dict(sidecar), "settings")
    if sidecar is None:
        path = folder / SIDECAR_NAME if folder is not None else None
        if path is None or not path.is_file():
            return Sidecar()
    else:
        path = Path(sidecar)
    return _validated(_read_yaml(path), path.name)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: cannot be read ({error}); check the path of the settings") from error
    except yaml.YAMLError as error:
        line = str(error).replace("\n", " ")
        raise ConfigError(f"{path.name}: not valid YAML ({line})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path.name}: expected 'key: value' lines, got {type(content).__name__}")
    return content


def _validated(values: dict[str, Any], where: str) -> Sidecar:
    try:
        return Sidecar.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    """One line for the first thing that is wrong; an unknown key comes with its nearest neighbour."""
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg']}, got {problem['input']!r}"
    key = str(problem["loc"][-1])
    valid = _valid_keys(problem["loc"])
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(valid)}"
    return f"unknown key {place!r}; {hint}"


def _valid_keys(location: tuple[int | str, ...]) -> list[str]:
    """Keys allowed at the level where an unknown one was found."""
    if "relative_orbit" in location[:-1]:
        return list(OrbitRule.model_fields)
    if "features" in location[:-1]:
        return list(FeatureRule.model_fields)
    return list(FileRule.model_fields if "files" in location[:-1] else Sidecar.model_fields)
