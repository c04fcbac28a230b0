"""The types of the settings: what a value on the command line or in the environment may be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

Kind = TypeVar("Kind", bound="click.ParamType[Any]")


def named(name: str, kind: Kind) -> Kind:
    """A type of settings, and what --help calls its values."""
    kind.name = name
    return kind


class UnseenPath(click.Path):
    """A path that is not opened yet. click's own type calls stat(), which can hang on a volume that does not answer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ARG002
        return Path(value)


DIRECTORY = named("dir", UnseenPath())
FILE = named("file", UnseenPath())


class Host(click.ParamType[str]):
    """A name, or an IPv4 or IPv6 address; an IPv6 address may have brackets, as in a URL."""

    name = "host"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        host = value.strip()
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not host:
            self.fail(
                "expected a name or an address; :: is every address of this machine, of both families", param, ctx
            )
        return host


HOST = Host()
PATHS = named("paths", click.types.StringParamType())
HOSTS = named("names", click.types.StringParamType())
PORT = named("port", click.IntRange(0, 65535))
COUNT = named("n", click.IntRange(min=1))
VERSION = named("n", click.IntRange(min=1))
WORKERS = named("n", click.IntRange(1, 64))
BYTES = named("bytes", click.IntRange(min=1))
SECONDS = named("seconds", click.FloatRange(min=0))


class Endpoint(click.ParamType[str]):
    """A URL: scheme, host, optional port. A password is rejected, because --print-config would show it."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname:
            self.fail("expected http://host:port or https://host:port", param, ctx)
        if "@" in url.netloc:
            self.fail("expected no user or password; OTEL_EXPORTER_OTLP_HEADERS takes credentials", param, ctx)
        return value


ENDPOINT = Endpoint()


@dataclass(frozen=True, slots=True)
class Canary:
    """A version, and the share of the requests without a version that it answers, from 0 to 1."""

    version: int
    share: float

    def __str__(self) -> str:
        return f"{self.version}={100 * self.share:g}%"


class CanaryType(click.ParamType[Canary]):
    """`N=5%`: a version and its share of the requests."""

    name = "n=x%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Canary:
        if isinstance(value, Canary):
            return value
        version, _, share = str(value).partition("=")
        try:
            canary = Canary(int(version), float(share.removesuffix("%")) / 100)
        except ValueError:
            canary = Canary(0, 0.0)
        if not share.endswith("%") or canary.version < 1 or not 0 < canary.share <= 1:
            self.fail(f"{value!r} is not a version and its share, such as 5=10%.", param, ctx)
        return canary
