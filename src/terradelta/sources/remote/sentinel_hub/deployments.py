"""Where Sentinel Hub runs, and how patiently it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from terradelta.errors import SourceError

__all__ = ["DEPLOYMENTS", "Deployment", "Patience", "deployment_of"]


@dataclass(frozen=True)
class Deployment:
    """One place where Sentinel Hub runs.

    Attributes
    ----------
    name : str
        Name for messages and keys.
    url, token_url : str
        Address of the service, and of the tokens.
    cloud_mask : {"CLM", "SCL"}
        What hides the ground in Sentinel-2 L1C images: the band CLM of the same collection, or, where the
        deployment has none, the scene classification of the L2A image of the same moment.
    """

    name: str
    url: str
    token_url: str
    cloud_mask: Literal["CLM", "SCL"] = "CLM"


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes
    ----------
    attempts : int
        How often a request is sent while the server answers 5xx or not at all.
    pause : float
        Seconds before the second attempt; each further pause is three times as long.
    timeout : float
        Seconds without a byte after which an attempt ends.
    longest_wait : float
        Seconds that the server may ask to wait (429 with Retry-After).
    """

    attempts: int = 4
    pause: float = 5.0
    timeout: float = 120.0
    longest_wait: float = 300.0


DEPLOYMENTS = {
    one.name: one
    for one in (
        Deployment(
            "sentinel-hub",
            "https://services.sentinel-hub.com",
            "https://services.sentinel-hub.com/auth/realms/main/protocol/openid-connect/token",
        ),
        Deployment(
            "sentinel-hub-cdse",
            "https://sh.dataspace.copernicus.eu",
            "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
            cloud_mask="SCL",
        ),
    )
}
"""Sentinel Hub itself, and that of the Copernicus Data Space Ecosystem."""


def deployment_of(name: str) -> Deployment:
    """Give a deployment by its name.

    Raises
    ------
    SourceError
        There is none of this name.

    Examples
    --------
    >>> deployment_of("sentinel-hub-cdse").url
    'https://sh.dataspace.copernicus.eu'
    """
    if name not in DEPLOYMENTS:
        raise SourceError(f"{name!r} is no deployment of Sentinel Hub; give one of {', '.join(DEPLOYMENTS)}")
    return DEPLOYMENTS[name]
