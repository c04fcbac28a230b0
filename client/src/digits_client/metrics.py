"""Prometheus metrics of a client: the extra `metrics`, which nothing else of this package imports.

    from digits_client import Client
    from digits_client.metrics import measured

    client = measured(Client("localhost:50051"))

digits_client_calls_total      calls that ended, by `method` and `status`: OK, or the gRPC status of the error
digits_client_calls_waiting    calls that have begun and not ended, by `method`
digits_client_call_seconds     how long calls took, waiting and retries included, by `method`
digits_client_retries_total    RPCs of batches that were sent again because the server was overloaded

`predict_iter` and `predict_stream` are counted but not timed: most of their time is their caller's own. gRPC itself
makes the retries for an UNAVAILABLE server, and a Python program cannot see them.

The metrics of all measured clients of a process are the same ones, and work in prometheus_client's multiprocess mode.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import cache, wraps
from time import perf_counter
from typing import Any, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from digits_client._async import AsyncClient
from digits_client._errors import DigitsError, Misused
from digits_client._shared import nothing
from digits_client._sync import Client

__all__ = ["measured"]

AnyClient = TypeVar("AnyClient", Client, AsyncClient)

ANSWERED_ONCE = ("predict", "predict_batch", "model", "health")
ANSWERED_IN_PARTS = ("predict_iter", "predict_stream")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram: from one call to this machine to the default timeout."""


def measured(client: AnyClient, registry: CollectorRegistry = REGISTRY) -> AnyClient:
    """The same client, whose calls are counted and timed from now on. Misused if the client is already measured."""
    if client._on_retry is not nothing:  # noqa: SLF001  # of this package
        raise Misused("this client is measured already: its calls would be counted twice")
    metrics = _metrics(registry)
    concurrent = isinstance(client, AsyncClient)
    once, in_parts = (_task_call, _task_parts) if concurrent else (_thread_call, _thread_parts)
    for names, wrapper in ((ANSWERED_ONCE, once), (ANSWERED_IN_PARTS, in_parts)):
        for name in names:
            setattr(client, name, wrapper(getattr(client, name), metrics.method(name, timed=names is ANSWERED_ONCE)))
    client._on_retry = metrics.retries.inc  # noqa: SLF001  # of this package
    return client


class _Metrics:
    """The objects of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        name = "digits_client_"
        self.calls = Counter(f"{name}calls", "Calls that ended", ["method", "status"], registry=registry)
        self.waiting = Gauge(
            f"{name}calls_waiting", "Calls not ended yet", ["method"], registry=registry, multiprocess_mode="livesum"
        )
        self.seconds = Histogram(
            f"{name}call_seconds", "How long calls took", ["method"], registry=registry, buckets=SECONDS
        )
        self.retries = Counter(
            f"{name}retries", "RPCs of batches sent again to an overloaded server", registry=registry
        )

    def method(self, name: str, *, timed: bool) -> "_Method":
        return _Method(self, name, timed=timed)


_metrics = cache(_Metrics)


class _Method:
    """The metrics of one method."""

    def __init__(self, metrics: _Metrics, name: str, *, timed: bool) -> None:
        self._name = name
        self._calls = metrics.calls
        self._answered = metrics.calls.labels(name, "OK")
        self._waiting = metrics.waiting.labels(name)
        self._seconds = metrics.seconds.labels(name) if timed else None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call."""
        begin = perf_counter()
        self._waiting.inc()
        ended = self._answered
        try:
            yield
        except BaseException as error:
            if not isinstance(error, GeneratorExit):  # the caller wanted no more answers
                ended = self._calls.labels(self._name, _status(error))
            raise
        finally:
            self._waiting.dec()
            ended.inc()
            if self._seconds:
                self._seconds.observe(perf_counter() - begin)


def _status(error: BaseException) -> str:
    if isinstance(error, DigitsError):
        return error.status.name
    return "CANCELLED" if isinstance(error, asyncio.CancelledError | KeyboardInterrupt) else "UNKNOWN"


def _thread_call(method: Callable[..., Any], its: _Method) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        with its.call():
            return method(*arguments, **options)

    return call


def _task_call(method: Callable[..., Any], its: _Method) -> Callable[..., Any]:
    @wraps(method)
    async def call(*arguments: Any, **options: Any) -> Any:
        with its.call():
            return await method(*arguments, **options)

    return call


def _thread_parts(method: Callable[..., Any], its: _Method) -> Callable[..., Any]:
    @wraps(method)
    def parts(*arguments: Any, **options: Any) -> Iterator[Any]:
        with its.call():
            yield from method(*arguments, **options)

    return parts


def _task_parts(method: Callable[..., Any], its: _Method) -> Callable[..., Any]:
    @wraps(method)
    async def parts(*arguments: Any, **options: Any) -> AsyncGenerator[Any, None]:
        with its.call():
            async with aclosing(method(*arguments, **options)) as answers:
                async for answer in answers:
                    yield answer

    return parts
