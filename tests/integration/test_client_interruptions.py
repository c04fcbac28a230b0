"""Interruptions and frozen servers: a client goes on working, at any point of the interrupted call."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support.client.both import Connect
from support.client.scripted import Gate, ScriptedServer, first_pixels
from support.pictures.pixels import IMAGE
from support.waiting import until

import digits_client
from digits_client import Client

PACKAGE = str(Path(digits_client.__file__).parent / "_coalescing")
STEPS = 400
"""More than the number of lines that one call runs in the coalescer."""


def at_step(number: int, happens: Callable[[], None], call: Callable[[], Any]) -> bool:
    """Makes a call during which `happens` is called before line `number` of the coalescer. False: it has fewer."""
    left = [number]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                happens()
        return trace

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return left[0] <= 0


def interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupt_at_any_line_leaves_nothing_in_flight(script: ScriptedServer) -> None:
    with Client(script.target) as client:
        client.predict(IMAGE)
        core: Any = client._connection().coalescer._core  # type: ignore[union-attr]
        for step in range(1, STEPS):
            try:
                if not at_step(step, interrupt, lambda: client.predict(IMAGE)):
                    break
            except KeyboardInterrupt:
                pass
            until(lambda: not list(core.unfinished()) and not core._in_flight, f"step {step}: nothing is in flight", 10)
        else:
            pytest.fail("the last step was not reached")
        assert step > 10
        assert client.predict(IMAGE).digit == 7


def test_a_signal_handler_may_call_at_any_line(script: ScriptedServer) -> None:
    with Client(script.target) as client:
        client.predict(IMAGE)
        digits: list[int] = []
        for step in range(1, STEPS):
            if not at_step(
                step, lambda: digits.append(client.predict(IMAGE, timeout=10).digit), lambda: client.predict(IMAGE)
            ):
                break
        assert digits == [7] * (step - 1)
        assert step > 10


def test_calls_leave_without_the_one_ahead_when_its_server_is_silent(connect: Connect, script: ScriptedServer) -> None:
    """One RPC is held at the server; the calls behind it are still answered."""
    client = connect(script.target, timeout=30)
    assert client.predict(IMAGE).digit == 7
    gate = Gate()
    script.answer = gate
    with ThreadPoolExecutor(2) as threads:
        held = threads.submit(client.predict, IMAGE)
        until(lambda: len(script.requests) == 2, "the first is at the server")
        script.answer = first_pixels
        assert threads.submit(client.predict, IMAGE).result(15).digit == 7
        assert not held.done()
        gate.open()
        assert held.result(15).digit == 7


def test_wait_ready_notices_a_server_that_starts_late(connect: Connect) -> None:
    """A client that has failed for a while; gRPC alone would wait longer and longer, up to two minutes."""
    with ScriptedServer() as first:
        address = first.target
        client = connect(address)
        assert client.predict(IMAGE).digit == 7
    end = time.monotonic() + 4
    while time.monotonic() < end:
        with pytest.raises(digits_client.DigitsError):
            client.predict(IMAGE, timeout=0.5)
    with ScriptedServer(address=address):
        client.wait_ready(timeout=10)
