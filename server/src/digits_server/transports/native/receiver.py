"""The thread that receives all calls, and answers those of pixels."""

import asyncio
import logging
import threading
from collections.abc import Callable
from time import perf_counter

from pygrpc_native import EVENT_CALL, NativeGrpcFront

from digits_server.errors import ServingError
from digits_server.service.direct_predictions import DirectPredictions
from digits_server.transports.arrivals import Arrivals
from digits_server.transports.native import Event, last_value
from digits_server.transports.native.replies import Replies

EVENTS = 256
"""Most calls and cancellations received at once."""

MOST_EVENTS = 4096
"""Most events taken from the library's queue before the next batch is computed."""

log = logging.getLogger(__name__)

Pass = Callable[[list[Event]], None]
"""Takes events on the event loop."""


class Receiver:
    """Receives from `front` until it is closed.

    predict  the method whose calls `direct` may answer
    direct   answers Predict calls of pixels; None: they go to the event loop like all others
    knows    whether the metadata `authorization` of a call is accepted; None: every call is. The event loop checks
             the calls that it gets again
    dispatch takes all other events, on the event loop
    failed   takes, on the event loop, the events on which this thread failed
    """

    def __init__(
        self,
        front: NativeGrpcFront,
        replies: Replies,
        predict: int,
        direct: DirectPredictions | None,
        knows: Callable[[str | None], bool] | None,
        *,
        dispatch: Pass,
        failed: Pass,
    ) -> None:
        self._receive: Callable[..., list[Event] | None] = front.recv_batch_details
        self._replies = replies
        self._predict = predict
        self._direct = direct
        self._knows = knows
        self._dispatch = dispatch
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="receive", daemon=True)
        self.arrivals = Arrivals()
        """Of events."""
        self.idle = True
        """Whether it waits for the next event: every call of pixels is answered."""

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Returns when the thread has ended, which it does once the library is closed."""
        if self._thread.ident:
            self._thread.join()

    def _run(self) -> None:
        while (events := self._next_events()) is not None:
            try:
                self._handle(events)
            except Exception:  # if this thread ended, no call would be answered
                log.exception("the receiving thread failed on %d events", len(events))
                for _, call, *_ in events:
                    self._replies.fail(call, ServingError("the server failed on this request; its log says why"))
                self._loop.call_soon_threadsafe(self._failed, events)

    def _handle(self, events: list[Event]) -> None:
        direct = self._direct
        self.arrivals.count += len(events)
        others = events if direct is None else self._take(direct, events)
        if others:
            self._loop.call_soon_threadsafe(self._dispatch, others)
        if direct and direct.calls_wait:
            direct.answer(self._replies.respond, self._replies.fail)

    def _next_events(self) -> list[Event] | None:
        """The events that have arrived, up to MOST_EVENTS. Waits for one if no call waits for the model."""
        receive = self._receive
        if self._direct and self._direct.calls_wait:
            events = receive(EVENTS, 0)
        else:
            if self._direct:
                self._direct.rest()
            self.idle = True
            events = receive(EVENTS)
            self.idle = False
        more = events
        while events and more and len(more) == EVENTS and len(events) < MOST_EVENTS:
            more = receive(EVENTS, 0)
            events += more or []
        return events

    def _take(self, direct: DirectPredictions, events: list[Event]) -> list[Event]:
        """Passes `direct` the calls that it accepts; returns the other events."""
        others = []
        predict = self._predict if direct.may_take() else -1
        knows = self._knows
        now = perf_counter()
        for event in events:
            kind, call, method, message, _, details = event
            if (
                kind == EVENT_CALL
                and method == predict
                and (not knows or knows(last_value(details[0], "authorization")))
            ):
                try:
                    if direct.take(call, message, details[1], details[2], now):
                        continue
                except ServingError as error:
                    self._replies.fail(call, error)
                    continue
            elif kind != EVENT_CALL:
                direct.cancel(call)
            others.append(event)
        return others
