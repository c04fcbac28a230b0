"""Where a request comes from, by what a browser says: the pages of other sites may not use this server.

A page can have its browser send requests to any address, this machine's own among them. Browsers mark such requests
(Sec-Fetch-Site, or Origin in old ones); other clients send no such mark. What a page cannot hide, having given the
server's address a name of its own ("DNS rebinding"), is that name: it comes as Host.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from socket import gethostname
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from digits_server.web.errors import ForeignHost, ForeignSite

OWN_SITES = ("same-origin", "none")
"""Values of Sec-Fetch-Site: our own page, or a person who typed the address."""


class Origins:
    """Which names and sites requests may come under.

    names  what Host may say beside the names of this machine; None: anything, for the network decides
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
    """Whether a person follows a link from another site. It changes nothing, and the other site sees nothing of it."""
    shown = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return method in ("GET", "HEAD") and shown


def _without_port(host: str) -> str:
    end = host.rfind(":")
    return host if end <= host.rfind("]") else host[:end]


def _netloc(origin: str) -> str:
    """The host and port of an Origin header; "" when it has none, as in "null"."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
