"""Routes: the paths that are answered, their endpoints, and who may use them."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from starlette.requests import Request
from starlette.responses import Response

from digits_server.security.access import Access

Endpoint = Callable[[Request], Awaitable[Response]]

ROUTE = "digits.route"
TRACE_ID = "digits.trace_id"
BROKEN = "digits.broken"
PROBE = "digits.probe"
"""Keys of a request's scope: the pattern of its route, the trace that is the example of its latency, whether its body
turned out not to be HTTP, and whether the route is one of probes and scrapers."""

UNKNOWN = "unknown"
"""The pattern of requests that no route matches, in metrics."""

PARAMETER = re.compile(r"\{(\w+)(?::(int|path))?\}")
PARAMETER_KINDS = {None: "[^/]+", "int": "[0-9]{1,18}", "path": ".*"}
"""Patterns of the parameters of a path. A number of 18 digits fits into 64 bits."""


@dataclass(frozen=True)
class Route:
    """`endpoint` at `path`, which may have parameters: {name}, {name:int} or {name:path}.

    counted  whether its answers are counted: those of probes and scrapers would outnumber all others
    """

    path: str
    endpoint: Endpoint
    access: Access
    methods: tuple[str, ...] = ("GET", "HEAD")
    counted: bool = True

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters in a path, or None if the path does not match. Every character counts."""
        found = self._pattern.fullmatch(path)
        return found and found.groupdict()

    @property
    def is_probe(self) -> bool:
        """Whether probes and scrapers ask for it every few seconds."""
        return self.access is not Access.CALLERS or self.path.endswith("/ready")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern, at = "", 0
        for parameter in PARAMETER.finditer(self.path):
            name, kind = parameter.groups()
            pattern += re.escape(self.path[at : parameter.start()]) + f"(?P<{name}>{PARAMETER_KINDS[kind]})"
            at = parameter.end()
        return re.compile(pattern + re.escape(self.path[at:]), re.ASCII)
