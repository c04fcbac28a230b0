"""Many calls of predict, few RPCs: every rule of sharing, for threads and for tasks, over real sockets."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from support.clients import Connect
from support.scripted import Answer, Gate, Refused, ScriptedServer, first_pixels, refusing
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import (
    Client,
    ClientClosed,
    Coalescing,
    DeadlineExceeded,
    InvalidInput,
    Prediction,
    QueueFull,
    ResourceExhausted,
    ServerError,
    Unavailable,
)
from digits_client._limits import ATTEMPTS

Calls = Callable[..., "Future[Prediction]"]


@pytest.fixture
def gate(script: ScriptedServer) -> Gate:
    """Holds every RPC back until it is opened."""
    script.answer = gate = Gate()
    return gate


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(128) as threads:
        yield threads


@pytest.fixture
def call(threads: ThreadPoolExecutor) -> Calls:
    """Begins a predict of the image whose every pixel is `value`."""

    def begin(client: Client, value: int, **settings: Any) -> "Future[Prediction]":
        return threads.submit(client.predict, image(value), **settings)

    return begin


def image(value: int) -> NDArray[np.uint8]:
    return np.full((28, 28), value, np.uint8)


def waiting(client: Any) -> int:
    """How many calls wait in the client for an RPC to return."""
    return int(client.stats().images_waiting)


def joined(client: Any) -> int:
    """How many calls have joined those that share RPCs, so far."""
    stats = client.stats()
    return int(stats.images_sent + stats.images_waiting)


def hold(script: ScriptedServer, client: Client, call: Calls) -> "Future[Prediction]":
    """One call that has reached the server and is held there."""
    before = len(script.requests)
    held = call(client, 200)
    until(lambda: len(script.requests) == before + 1, "the first call is at the server")
    return held


def gather(client: Client, call: Calls, values: range, **settings: Any) -> "list[Future[Prediction]]":
    """Calls that wait in the client behind what is held; on a slow machine, some have left without it."""
    before = joined(client)
    calls = [call(client, value, **settings) for value in values]
    until(lambda: joined(client) == before + len(values), "all have joined")
    return calls


def digits(calls: "list[Future[Prediction]]") -> list[int]:
    return [one.result(30).digit for one in calls]


def test_calls_that_do_not_overlap_have_an_rpc_each(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    assert [client.predict(image(value)).digit for value in range(5)] == [0, 1, 2, 3, 4]
    assert script.sizes == [1] * 5


def test_with_nothing_in_flight_a_call_is_sent_at_once(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    """It reaches the server though nothing ever returns or joins."""
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


def test_what_fills_an_rpc_leaves_without_waiting_for_a_return(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls
) -> None:
    client = connect(script.target, coalescing=Coalescing(images_per_rpc=8, rpcs_in_flight=2))
    held = hold(script, client, call)
    calls = [call(client, value) for value in range(8)]
    until(lambda: script.sizes == [1, 8], "the full RPC is at the server beside the held one")
    gate.open()
    digits([held, *calls])


def test_no_more_rpcs_are_in_flight_than_allowed(connect: Connect, script: ScriptedServer) -> None:
    lock = threading.Lock()
    now, most = [0], [0]

    def counted(request: PredictRequest) -> PredictResponse:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            return first_pixels(request)
        finally:
            with lock:
                now[0] -= 1

    script.answer = counted
    client = connect(script.target, coalescing=Coalescing(images_per_rpc=4, rpcs_in_flight=3))
    with ThreadPoolExecutor(64) as threads:
        values = [*range(250)] * 4
        assert [result.digit for result in threads.map(lambda value: client.predict(image(value)), values)] == [
            value % 10 for value in values
        ]
    assert most[0] <= 3


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
    """At once, while an RPC is held; and those who wait never meet it."""
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
    assert script.sizes == [1, 3]  # whoever has given up is not asked about


def test_each_caller_keeps_its_own_deadline_after_it_is_sent(
    connect: Connect, script: ScriptedServer, call: Calls
) -> None:
    first, rest = Gate(), Gate()
    script.answer = _one_then(first, rest)
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


def test_a_transport_error_is_retried_once_for_all_who_share_the_rpc(
    connect: Connect, script: ScriptedServer, call: Calls
) -> None:
    first = Gate()
    script.answer = _one_then(first, refusing(grpc.StatusCode.UNAVAILABLE, times=1))
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(20))
    first.open()
    assert digits([held, *calls])[1:] == [value % 10 for value in range(20)]
    assert script.sizes == [1, 20, 20]


@pytest.mark.parametrize(
    "failure", [(grpc.StatusCode.UNAVAILABLE, Unavailable, ATTEMPTS), (grpc.StatusCode.INTERNAL, ServerError, 1)]
)
def test_a_final_error_reaches_every_caller_who_shared_the_rpc(
    connect: Connect, script: ScriptedServer, call: Calls, failure: tuple[grpc.StatusCode, type[Exception], int]
) -> None:
    status, kind, tries = failure
    first = Gate()
    script.answer = _one_then(first, refusing(status, message="the reason"))
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(20))
    first.open()
    assert held.result(30).digit == 0
    errors = [one.exception(30) for one in calls]
    assert all(type(error) is kind and "the reason" in str(error) for error in errors)
    assert len({id(error) for error in errors}) == 20  # an error that threads share mixes up their tracebacks
    assert script.sizes == [1] + [20] * tries
    script.answer = first_pixels
    assert client.predict(image(3)).digit == 3


def test_a_failed_rpc_fails_no_other_callers(connect: Connect, script: ScriptedServer) -> None:
    def answer(request: PredictRequest) -> PredictResponse:
        if request.model_version == 9:
            raise Refused(grpc.StatusCode.NOT_FOUND, "no such version")
        return first_pixels(request)

    script.answer = answer
    client = connect(script.target)

    def outcome(index: int) -> object:
        try:
            return client.predict(image(index % 250), model_version=9 if index % 3 else 0).digit
        except Exception as error:  # noqa: BLE001  # whatever came is compared
            return type(error).__name__

    with ThreadPoolExecutor(32) as threads:
        outcomes = list(threads.map(outcome, range(600)))
    assert outcomes == ["NotFound" if index % 3 else index % 250 % 10 for index in range(600)]


def test_an_answer_of_the_wrong_length_is_an_error_for_all_who_asked(
    connect: Connect, script: ScriptedServer, call: Calls
) -> None:
    first = Gate()
    script.answer = _one_then(first, lambda _: PredictResponse(digits=[1], confidences=[1.0], model_version=1))
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(5))
    first.open()
    held.result(30)
    assert all(isinstance(one.exception(30), ServerError) for one in calls)


def test_closing_ends_every_call_that_waits_or_is_on_the_way(
    connect: Connect, script: ScriptedServer, gate: Gate, call: Calls, threads: ThreadPoolExecutor
) -> None:
    client = connect(script.target, timeout=60, coalescing=Coalescing(rpcs_in_flight=2))
    held = hold(script, client, call)
    other = call(client, 1, probabilities=True)
    until(lambda: len(script.requests) == 2, "two RPCs are at the server")
    calls = gather(client, call, range(20))
    threads.submit(client.close).result(30)
    assert {type(one.exception(30)) for one in [held, other, *calls]} == {ClientClosed}
    gate.open()


def test_a_closed_client_answers_no_more_and_says_so(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target)
    client.predict(image(1))
    client.close()
    for ask in (
        lambda: client.predict(image(1)),
        lambda: client.predict_batch([image(1)]),
        client.model,
        client.health,
    ):
        with pytest.raises(ClientClosed, match="the client is closed"):
            ask()


def test_closing_in_the_middle_of_traffic_hangs_nobody(connect: Connect, script: ScriptedServer) -> None:
    client = connect(script.target, coalescing=Coalescing(images_per_rpc=3))
    begun = threading.Semaphore(0)

    def outcome(value: int) -> str:
        begun.release()
        try:
            return "right" if client.predict(image(value)).digit == value % 10 else "wrong"
        except ClientClosed:
            return "closed"

    with ThreadPoolExecutor(32) as threads:
        outcomes = [threads.submit(outcome, index % 250) for index in range(2000)]
        for _ in range(300):
            begun.acquire()
        threads.submit(client.close).result(30)
        seen = {one.result(30) for one in outcomes}
    assert seen <= {"right", "closed"}
    assert "closed" in seen


def test_coalescing_can_be_turned_off(connect: Connect, script: ScriptedServer, gate: Gate, call: Calls) -> None:
    client = connect(script.target, coalescing=None)
    calls = [call(client, value) for value in range(20)]
    until(lambda: len(script.requests) == 20, "every call is at the server by itself")
    gate.open()
    assert digits(calls) == [value % 10 for value in range(20)]
    assert script.sizes == [1] * 20


def test_batches_files_and_other_calls_pass_by_what_waits(
    connect: Connect, script: ScriptedServer, call: Calls
) -> None:
    gate = Gate()
    script.answer = _one_then(gate, first_pixels)
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(5))
    assert client.predict(b"7 is the first byte").digit == ord("7") % 10
    assert list(client.predict_batch([image(4), image(5)]).digits) == [4, 5]
    assert client.health()
    gate.open()
    assert digits([held, *calls]) == [0, 0, 1, 2, 3, 4]


def _one_then(first: Answer, rest: Answer) -> Answer:
    """Answers the first RPC with one and all others with the other."""
    lock = threading.Lock()
    seen = [0]

    def answer(request: PredictRequest) -> PredictResponse:
        with lock:
            seen[0] += 1
            number = seen[0]
        return (first if number == 1 else rest)(request)

    return answer
