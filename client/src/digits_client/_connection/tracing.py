"""Traces of RPCs with OpenTelemetry: the extra `tracing`. Imported only if tracing is on.

An RPC's span is a child of its caller's, and the server's of the RPC's (W3C Trace Context). An RPC that several calls
share is a child of the first caller's span, and linked with the others', both ways.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import grpc
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    get_current_span,
    get_tracer,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from digits_client._coalescing.calls import Call, Group
from digits_client._coalescing.tasks import TaskCoalescer
from digits_client._coalescing.threads import ThreadCoalescer
from digits_client._connection.wrapped import WrappedChannel

Metadata = tuple[tuple[str, str], ...]

CALLERS = ContextVar[tuple[Span, ...] | None]("CALLERS", default=None)
"""The callers' spans of the shared RPC that is being sent; None: the RPC is not shared."""

PROPAGATOR = TraceContextTextMapPropagator()


class _TracedCall(Call):
    """A call that keeps its caller's context, which differs from that of the RPC."""

    __slots__ = ("span",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.span = get_current_span()


class TracedThreadCoalescer(ThreadCoalescer):
    """Links the spans of RPCs with the spans of the calls that share them."""

    _call: type[Call] = _TracedCall

    def _start(self, group: Group) -> None:
        with _callers(group):
            super()._start(group)


class TracedTaskCoalescer(TaskCoalescer):
    """The same for tasks: a task inherits the context that it is made in."""

    _call: type[Call] = _TracedCall

    def _start(self, group: Group) -> None:
        with _callers(group):
            super()._start(group)


class Tracing:
    """The parts of a connection whose RPCs record spans with the tracer provider of the process.

    Streams are those of gRPC for threads, in both clients.
    """

    thread_coalescer = TracedThreadCoalescer
    task_coalescer = TracedTaskCoalescer

    def over_threads(self, channel: grpc.Channel) -> Any:
        """`channel`, whose calls record spans."""
        return WrappedChannel(channel, _ThreadMethod, _StreamMethod)

    def over_tasks(self, channel: grpc.aio.Channel) -> Any:
        """The same for a channel of tasks."""
        return WrappedChannel(channel, _TaskMethod, _StreamMethod)


@contextmanager
def _callers(group: Group) -> Iterator[None]:
    spans = dict.fromkeys(call.span for call in group.calls if isinstance(call, _TracedCall))
    token = CALLERS.set(tuple(span for span in spans if span.get_span_context().is_valid))
    try:
        yield
    finally:
        CALLERS.reset(token)


class _Method:
    """A unary method, whose spans have its name."""

    def __init__(self, method: Any, path: str) -> None:
        self._method = method
        self._tracer = get_tracer("digits_client")
        self._name = path.removeprefix("/")
        service, _, name = self._name.rpartition("/")
        self._attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}

    def _began(self) -> tuple[Span, Metadata]:
        """The span of an RPC, and the metadata that makes the server's span its child."""
        callers = CALLERS.get()
        if callers is None:
            span = self._tracer.start_span(self._name, None, SpanKind.CLIENT, self._attributes)
        else:
            span = self._shared(callers)
        carried: dict[str, str] = {}
        PROPAGATOR.inject(carried, set_span_in_context(span))
        return span, tuple(carried.items())

    def _shared(self, callers: tuple[Span, ...]) -> Span:
        if not callers:
            return self._tracer.start_span(self._name, Context(), SpanKind.CLIENT, self._attributes)
        # Sampled callers first: a child of any other would not be sampled either.
        first, *others = sorted(callers, key=lambda span: not span.get_span_context().trace_flags.sampled)
        span = self._tracer.start_span(
            self._name,
            set_span_in_context(first, Context()),
            SpanKind.CLIENT,
            self._attributes,
            [Link(other.get_span_context()) for other in others],
        )
        for other in others:
            if other.is_recording():  # it may have given up, and ended
                other.add_link(span.get_span_context())
        return span


class _ThreadMethod(_Method):
    def __call__(self, request: Any, *, timeout: float, metadata: Metadata = ()) -> Any:
        span, carried = self._began()
        try:
            reply = self._method(request, timeout=timeout, metadata=metadata + carried)
        except BaseException as error:
            _failed(span, error)
            raise
        _ended(span, grpc.StatusCode.OK)
        return reply

    def future(self, request: Any, *, timeout: float, metadata: Metadata = ()) -> Any:
        span, carried = self._began()
        try:
            rpc = self._method.future(request, timeout=timeout, metadata=metadata + carried)
        except BaseException as error:
            _failed(span, error)
            raise
        rpc.add_done_callback(lambda rpc: _ended(span, rpc.code(), rpc.details()))
        return rpc


class _StreamMethod(_Method):
    def __call__(self, requests: Any, *, metadata: Metadata = ()) -> Any:
        span, carried = self._began()
        try:
            rpc = self._method(requests, metadata=metadata + carried)
        except BaseException as error:
            _failed(span, error)
            raise
        rpc.add_done_callback(lambda rpc: _ended(span, rpc.code(), rpc.details()))
        return rpc


class _TaskMethod(_Method):
    async def __call__(self, request: Any, *, timeout: float, metadata: Metadata = ()) -> Any:  # gRPC's
        span, carried = self._began()
        try:
            reply = await self._method(request, timeout=timeout, metadata=metadata + carried)
        except BaseException as error:
            _failed(span, error)
            raise
        _ended(span, grpc.StatusCode.OK)
        return reply


def _failed(span: Span, error: Any) -> None:
    if isinstance(error, grpc.RpcError):
        _ended(span, error.code(), error.details())
    else:  # a cancelled task, an interrupted thread, a channel that was closed meanwhile
        _ended(span, grpc.StatusCode.CANCELLED)


def _ended(span: Span, status: grpc.StatusCode, message: str | None = None) -> None:
    """Any failure makes a client's span an error, by OpenTelemetry's conventions for gRPC."""
    span.set_attribute("rpc.grpc.status_code", status.value[0])
    if status is not grpc.StatusCode.OK:
        span.set_status(StatusCode.ERROR, message)
    span.end()
