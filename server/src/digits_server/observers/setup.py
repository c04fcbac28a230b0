"""Makes the observers of calls that the settings ask for; by default, no observers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from digits_server.batching.batcher import Batcher
from digits_server.errors import OperatorError
from digits_server.rpcs.interceptors import Watcher
from digits_server.security.authentication import Tokens
from digits_server.security.reloading import Reloading
from digits_server.settings import Settings
from digits_server.web.interceptors import WebWatcher


class Observer(Watcher, WebWatcher, Protocol):
    """An observer of RPCs and of HTTP requests."""


@dataclass(slots=True)
class Observation:
    """The observers of all calls, the factory of batchers, and the clean-up at the end, which may take seconds."""

    watchers: list[Observer] = field(default_factory=list)
    batcher: Callable[..., Batcher] = Batcher
    close: Callable[[], None] = lambda: None


def observation(settings: Settings, tokens: Reloading[Tokens] | None) -> Observation:
    """The observers that the settings ask for. Raises OperatorError if tracing is not installed.

    tokens  those of callers; None: no token is needed
    """
    chosen = Observation()
    if settings.tracing_endpoint:
        try:
            from digits_server.observers.tracing import TracedBatcher, Tracing
        except ImportError as error:
            message = "--tracing-endpoint needs OpenTelemetry: install digits-server with its extra 'tracing'"
            raise OperatorError(message) from error
        tracing = Tracing(settings.tracing_endpoint)
        chosen = Observation([tracing], partial(TracedBatcher, tracer=tracing.tracer), tracing.close)
    if settings.access_log:
        from digits_server.observers.access_log import AccessLog

        chosen.watchers.append(AccessLog(tokens))
    return chosen
