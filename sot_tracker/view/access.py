"""Access control of the page: rules for the address, the Host and Origin headers and the token, as pure functions.

A foreign page, open in a browser on this computer, can send requests to 127.0.0.1. It cannot change the headers Host
(the name in the address bar) and Origin (where the page came from), so these two are checked.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from sot_tracker.view.config import ViewConfig

TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Access:
    """token: empty if none is needed. names: allowed names of this computer, lower case.

    local: whether only loopback addresses are allowed.
    """

    token: str
    names: frozenset[str]
    local: bool

    @classmethod
    def of(cls, config: ViewConfig) -> Access:
        """The rules for these options. If the address needs a token and none was given, one is created."""
        local = is_loopback(config.host)
        token = config.token or ("" if local else secrets.token_urlsafe(TOKEN_BYTES))
        given = {name.strip().lower() for name in config.names.split(",")} - {""}
        own = set() if local else {socket.gethostname().lower(), f"{socket.gethostname().lower()}.local"}
        return cls(token, frozenset({"localhost"} | own | given), local)

    def allows_host(self, header: str | None) -> bool:
        """Whether a Host header names this computer.

        Numeric addresses are safe: only with a name can a foreign page pretend to be this one (DNS rebinding).
        """
        name = host_name(header)
        if name is None:
            return False
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.local

    def allows_origin(self, origin: str | None, host: str | None) -> bool:
        """Whether the request comes from a page that was loaded from this Host."""
        if origin is None or host is None:
            return False
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()

    def allows_token(self, given: str) -> bool:
        return not self.token or hmac.compare_digest(given.encode(), self.token.encode())


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach that address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(header: str | None) -> str | None:
    """The name in a Host header, lower case and without port; None if it is malformed."""
    if not header:
        return None
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port  # raises where it is not a number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        return None
    return parts.hostname


def address_to_open(host: str) -> str:
    """The address at which others reach a server that listens on `host`; for 0.0.0.0, that of one network."""
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host
    if not everywhere:
        return f"[{host}]" if ":" in host else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; the system only chooses the network that it would use
        except OSError:  # no network at all
            return "127.0.0.1"
        return str(probe.getsockname()[0])
