"""Where a request comes from, as a browser says: pages of other sites must not use this server.

A page can make its browser send requests to any address, including this machine. Browsers mark such requests with
Sec-Fetch-Site, or Origin in old browsers; other clients send no such mark. If a page uses its own name for the server's
address ("DNS rebinding"), that name is in the Host header.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from socket import gethostname
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from digits_server.security.authentication import is_loopback
from digits_server.settings import Settings
from digits_server.web.errors import ForeignHost, ForeignSite

OWN_SITES = ("same-origin", "none")
"""Values of Sec-Fetch-Site: our own page, or a person who typed the address."""


def host_names(settings: Settings) -> list[str] | None:
    """The host names that requests may use, in addition to those of this machine; None: any name.

    On a network this machine may have any name. With TLS, the browser has already checked the name.
    """
    if settings.http_tls or not is_loopback(settings.host):
        return None
    return [name for part in settings.http_hosts.split(",") if (name := part.strip())]


class Origins:
    """The host names and sites that requests may have.

    names  further names for Host, beside those of this machine; None: any name, because the network decides
    """

    def __init__(self, names: Iterable[str] | None) -> None:
        self._names = None if names is None else {"localhost", gethostname().lower(), *map(str.lower, names)}

    def check(self, method: str, headers: Headers) -> None:
        """Raises ForeignHost or ForeignSite."""
        host = headers.get("host", "")
        if self._names is not None and host and not self._is_ours(host):
            raise ForeignHost("host: expected a name or an address of this machine, or one that --http-hosts names")
        site = headers.get("sec-fetch-site")
        if site is None:
            origin = headers.get("origin")
            foreign = origin is not None and _netloc(origin) != host.lower()
        else:
            foreign = site.lower() not in OWN_SITES
        if foreign and not _is_link(method, headers):
            raise ForeignSite("expected a request from this server's own page, or from a program; got another site's")

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host).rstrip(".").lower()
        if self._names is not None and name in self._names:
            return True
        try:
            return ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name).is_loopback
        except ValueError:
            return False


def _is_link(method: str, headers: Headers) -> bool:
    """Whether a person followed a link from another site: it changes nothing, and the other site sees no answer."""
    shown = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return method in ("GET", "HEAD") and shown


def _without_port(host: str) -> str:
    end = host.rfind(":")
    return host if end <= host.rfind("]") else host[:end]


def _netloc(origin: str) -> str:
    """The host and port of an Origin header; "" if it has no host, as in "null"."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
