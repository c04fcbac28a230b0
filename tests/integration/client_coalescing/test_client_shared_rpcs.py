"""Many calls of predict, few RPCs: which calls share one, for threads and for tasks, over real sockets."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from support.client.both import Connect
from support.client.coalescing import Calls, digits, gather, hold, one_then
from support.client.scripted import Gate, ScriptedServer, first_pixels
from support.pictures.pixels import image
from support.waiting import until

from digits_client import Coalescing


def test_calls_that_do_not_overlap_have_an_rpc_each(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    assert [client.predict(image(value)).digit for value in range(5)] == [0, 1, 2, 3, 4]
    assert script.sizes == [1] * 5


def test_with_nothing_in_flight_a_call_is_sent_at_once(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    """It reaches the server although no RPC returns and no call joins."""
    held = hold(script, connect(script.target), call)
    assert script.sizes == [1]
    gate.open()
    assert held.result(30).digit == 0


def test_calls_made_while_one_is_in_flight_leave_together_when_it_returns(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target, coalescing=Coalescing(rpcs_in_flight=1))
    held = hold(script, client, call)
    calls = gather(client, call, range(50))
    assert script.sizes == [1]
    gate.open()
    assert digits([held, *calls]) == [0, *(value % 10 for value in range(50))]
    assert script.sizes == [1, 50]


def test_each_caller_gets_the_answer_for_its_own_image(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    rng = np.random.default_rng(1)
    asked = [
        (int(value), int(version), bool(wanted)) for value, version, wanted in rng.integers(0, [250, 4, 2], (2000, 3))
    ]

    def right(value: int, version: int, wanted: bool) -> bool:
        result = client.predict(image(value), model_version=version, probabilities=wanted)
        rows = result.probabilities
        shown = rows is not None and int(rows.argmax()) == value % 10 if wanted else rows is None
        one = (result.digit, round(result.confidence * 255), result.model_version)
        return shown and one == (value % 10, value, version or 1)

    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(right, *zip(*asked, strict=True)))
    assert sum(script.sizes) == 2000
    assert len(script.sizes) < 1000


def test_an_rpc_has_no_more_images_than_allowed(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target, coalescing=Coalescing(images_per_rpc=8, rpcs_in_flight=1))
    held = hold(script, client, call)
    calls = gather(client, call, range(20))
    gate.open()
    assert digits([held, *calls])[1:] == [value % 10 for value in range(20)]
    assert script.sizes == [1, 8, 8, 4]


def test_a_full_rpc_is_sent_without_waiting_for_a_return(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target, coalescing=Coalescing(images_per_rpc=8, rpcs_in_flight=2))
    held = hold(script, client, call)
    calls = [call(client, value) for value in range(8)]
    until(lambda: script.sizes == [1, 8], "the full RPC is at the server beside the held one")
    gate.open()
    digits([held, *calls])


def test_no_more_rpcs_are_in_flight_than_allowed(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    """Though more of them are full."""
    client = connect(script.target, coalescing=Coalescing(images_per_rpc=4, rpcs_in_flight=3))
    calls = gather(client, call, range(100))
    until(lambda: len(script.requests) == client.stats().rpcs_sent, "what has left is at the server")
    assert len(script.requests) == 3
    gate.open()
    assert digits(calls) == [value % 10 for value in range(100)]


def test_callers_that_want_different_things_never_share_an_rpc(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target, coalescing=Coalescing(rpcs_in_flight=1))
    held = hold(script, client, call)
    kinds = [(version, wanted) for version in (0, 1, 2) for wanted in (False, True)]
    calls = {
        kind: gather(client, call, range(10 * place, 10 * place + 10), model_version=kind[0], probabilities=kind[1])
        for place, kind in enumerate(kinds)
    }
    gate.open()
    held.result(30)
    for (version, wanted), group in calls.items():
        for one in group:
            assert one.result(30).model_version == (version or 1)
            assert (one.result().probabilities is not None) == wanted
    assert script.sizes == [1] + [10] * 6
    for request in script.requests[1:]:
        asked = kinds.index((request.model_version, request.include_probabilities))
        assert {value // 10 for value in request.images} == {asked}


def test_a_wish_that_others_do_not_share_waits_for_no_one_of_them(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(5))
    other = call(client, 7, probabilities=True)
    until(lambda: script.sizes == [1, 1], "it is at the server beside the held one")
    gate.open()
    assert digits([held, other, *calls]) == [0, 7, 0, 1, 2, 3, 4]


def test_coalescing_can_be_turned_off(connect: Connect, script: ScriptedServer, gate: Gate, call: Calls) -> None:
    client = connect(script.target, coalescing=None)
    calls = [call(client, value) for value in range(20)]
    until(lambda: len(script.requests) == 20, "every call is at the server by itself")
    gate.open()
    assert digits(calls) == [value % 10 for value in range(20)]
    assert script.sizes == [1] * 20


def test_batches_files_and_other_calls_do_not_wait_for_coalesced_calls(
    connect: Connect, script: ScriptedServer, call: Calls
) -> None:
    gate = Gate()
    script.answer = one_then(gate, first_pixels)
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(5))
    assert client.predict(b"7 is the first byte").digit == ord("7") % 10
    assert list(client.predict_batch([image(4), image(5)]).digits) == [4, 5]
    assert client.health()
    gate.open()
    assert digits([held, *calls]) == [0, 0, 1, 2, 3, 4]
