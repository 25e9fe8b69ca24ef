"""The login at NASA Earthdata: where it is, and who one is."""

from __future__ import annotations

import netrc
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from terradelta.errors import AccessError

__all__ = ["Credentials", "Login", "find_credentials"]

VARIABLES = ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD")


@dataclass(frozen=True)
class Credentials:
    """Who one is; nothing of it is ever shown.

    Attributes
    ----------
    origin : str
        Where it was found; empty if nowhere.
    token, username, password : str
        A token, or name and password.
    """

    origin: str = ""
    token: str = field(default="", repr=False)
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Login:
    """Where one logs in.

    Attributes
    ----------
    address : str
        The login host.
    trusted : tuple of str
        Hosts, and hosts below them, that may see a token.
    """

    address: str = "https://urs.earthdata.nasa.gov"
    trusted: tuple[str, ...] = ("asf.alaska.edu", "earthdata.nasa.gov", "earthdatacloud.nasa.gov")

    @property
    def host(self) -> str:
        """Name of the login host, as in `.netrc`."""
        return urlsplit(self.address).hostname or ""

    def is_at(self, address: str) -> bool:
        """Whether an address lies on the login host."""
        return urlsplit(address)[:2] == urlsplit(self.address)[:2]

    def trusts(self, address: str) -> bool:
        """Whether a token may be sent to an address.

        Examples
        --------
        >>> Login().trusts("https://cumulus.asf.earthdatacloud.nasa.gov/a.tif")
        True
        >>> Login().trusts("https://nasa.gov.example.org/a.tif"), Login().trusts("http://asf.alaska.edu/a.tif")
        (False, False)
        """
        parts = urlsplit(address)
        host = parts.hostname or ""
        known = any(host == name or host.endswith(f".{name}") for name in self.trusted)
        return known and parts.scheme == urlsplit(self.address).scheme

    def refusal(self, credentials: Credentials, name: str, status: int) -> str:
        """Say in one line what is missing or wrong."""
        if not credentials.origin:
            return (
                f"{name}: a login is needed; set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and "
                f"EARTHDATA_PASSWORD, or write 'machine {self.host} login NAME password SECRET' into .netrc"
            )
        return (
            f"{name}: the login of {credentials.origin} is refused ({status}); check it at {self.address}, "
            "and that the archive is among the approved applications there"
        )


def find_credentials(login: Login) -> Credentials:
    """Look for credentials: a token, name and password in the environment, or a line in `.netrc`.

    Returns
    -------
    Credentials
        Empty ones if there are none.

    Raises
    ------
    AccessError
        A name without a password, or a `.netrc` that cannot be understood.
    """
    token, username, password = (os.environ.get(name, "").strip() for name in VARIABLES)
    if token:
        return Credentials("EARTHDATA_TOKEN", token=token)
    if username and password:
        return Credentials("EARTHDATA_USERNAME", username=username, password=password)
    if username or password:
        missing = VARIABLES[2] if username else VARIABLES[1]
        raise AccessError(
            f"{missing} is not set; set EARTHDATA_USERNAME and EARTHDATA_PASSWORD both, or none"
        )
    return _from_netrc(login)


def _from_netrc(login: Login) -> Credentials:
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if not path.is_file():
        return Credentials()
    try:
        found = netrc.netrc(str(path)).authenticators(login.host)
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        raise AccessError(f"{path}: cannot be read as .netrc; correct it, or set EARTHDATA_TOKEN") from None
    if found is None:
        return Credentials()
    return Credentials(f"'machine {login.host}' in {path.name}", username=found[0], password=found[2] or "")
