"""Calls that wait for an RPC: how many may, which input may, and each until its own deadline."""

import numpy as np
import pytest
from support.client.both import Connect
from support.client.coalescing import Calls, digits, gather, hold, one_then, waiting
from support.client.scripted import Gate, ScriptedServer
from support.pictures.pixels import image
from support.waiting import until

from digits_client import Coalescing, DeadlineExceeded, InvalidInput, QueueFull, ResourceExhausted


def test_one_call_too_many_is_refused_at_once_and_disturbs_no_other(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target, coalescing=Coalescing(max_waiting=3))
    held = hold(script, client, call)
    calls = gather(client, call, range(3))
    with pytest.raises(QueueFull, match="3 images already wait") as caught:
        client.predict(image(9))
    assert isinstance(caught.value, ResourceExhausted)
    gate.open()
    assert digits([held, *calls]) == [0, 0, 1, 2]
    assert script.sizes == [1, 3]


def test_without_a_bound_calls_wait_within_their_timeouts(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target, coalescing=Coalescing(max_waiting=None))
    held = hold(script, client, call)
    calls = gather(client, call, range(100))
    with pytest.raises(DeadlineExceeded):
        client.predict(image(9), timeout=0.1)
    gate.open()
    assert digits([held, *calls])[1:] == [value % 10 for value in range(100)]


@pytest.mark.parametrize("name", ["images_per_rpc", "rpcs_in_flight", "max_waiting"])
def test_a_bound_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        Coalescing(**{name: 0})


def test_an_input_is_validated_before_it_joins(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    """At once, while an RPC is held; the waiting calls are not affected."""
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(3))
    with pytest.raises(InvalidInput, match="28 × 27"):
        client.predict(np.zeros((28, 27), np.uint8))
    assert waiting(client) == 3
    gate.open()
    assert digits([held, *calls]) == [0, 0, 1, 2]
    assert script.sizes == [1, 3]


def test_each_caller_keeps_its_own_deadline_before_it_is_sent(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target, coalescing=Coalescing(rpcs_in_flight=1))
    held = hold(script, client, call)
    patient = gather(client, call, range(3))
    for hasty in [call(client, value, timeout=0.2) for value in range(3, 6)]:
        with pytest.raises(DeadlineExceeded):
            hasty.result(30)
    gate.open()
    assert digits([held, *patient]) == [0, 0, 1, 2]
    assert script.sizes == [1, 3]  # no request is made for callers that have given up


def test_each_caller_keeps_its_own_deadline_after_it_is_sent(
    connect: Connect, script: ScriptedServer, call: Calls
) -> None:
    first, rest = Gate(), Gate()
    script.answer = one_then(first, rest)
    client = connect(script.target)
    held = hold(script, client, call)
    patient = gather(client, call, range(3), timeout=30)
    hasty = gather(client, call, range(3, 6), timeout=2)
    first.open()
    assert held.result(30).digit == 0
    until(lambda: script.sizes == [1, 6], "they are at the server")
    for one in hasty:
        with pytest.raises(DeadlineExceeded):
            one.result(30)
    rest.open()
    assert digits(patient) == [0, 1, 2]


def test_the_deadline_of_an_rpc_is_the_latest_of_its_callers(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target)
    held = hold(script, client, call)
    calls = [*gather(client, call, range(1), timeout=20), *gather(client, call, range(1, 2), timeout=28)]
    gate.open()
    digits([held, *calls])
    assert 20.5 < (script.deadlines[1] or 0) < 29
