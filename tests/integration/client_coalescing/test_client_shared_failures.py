"""If a shared RPC ends, each of its calls ends with a clear error, and no other call."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from support.client.both import Connect
from support.client.coalescing import Calls, digits, gather, hold, one_then
from support.client.scripted import Gate, Refused, ScriptedServer, first_pixels, refusing
from support.pictures.pixels import image
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client import ClientClosed, Coalescing, ServerError, Unavailable
from digits_client._limits import ATTEMPTS


def test_a_transport_error_is_retried_once_for_all_callers_of_the_rpc(
    connect: Connect, script: ScriptedServer, call: Calls
) -> None:
    first = Gate()
    script.answer = one_then(first, refusing(grpc.StatusCode.UNAVAILABLE, times=1))
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(20))
    first.open()
    assert digits([held, *calls])[1:] == [value % 10 for value in range(20)]
    assert script.sizes == [1, 20, 20]


@pytest.mark.parametrize(
    "failure", [(grpc.StatusCode.UNAVAILABLE, Unavailable, ATTEMPTS), (grpc.StatusCode.INTERNAL, ServerError, 1)]
)
def test_a_final_error_reaches_every_caller_of_the_shared_rpc(
    connect: Connect, script: ScriptedServer, call: Calls, failure: tuple[grpc.StatusCode, type[Exception], int]
) -> None:
    status, kind, tries = failure
    first = Gate()
    script.answer = one_then(first, refusing(status, message="the reason"))
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(20))
    first.open()
    assert held.result(30).digit == 0
    errors = [one.exception(30) for one in calls]
    assert all(type(error) is kind and "the reason" in str(error) for error in errors)
    assert len({id(error) for error in errors}) == 20  # if threads share an error, their tracebacks get mixed up
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


def test_an_answer_of_the_wrong_length_is_an_error_for_all_callers(
    connect: Connect, script: ScriptedServer, call: Calls
) -> None:
    first = Gate()
    script.answer = one_then(first, lambda _: PredictResponse(digits=[1], confidences=[1.0], model_version=1))
    client = connect(script.target)
    held = hold(script, client, call)
    calls = gather(client, call, range(5))
    first.open()
    held.result(30)
    errors = [one.exception(30) for one in calls]
    assert all(type(error) is ServerError and "expected answers for 5 images, got 1" in str(error) for error in errors)


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


def test_a_closed_client_raises_client_closed(connect: Connect, script: ScriptedServer) -> None:
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


def test_closing_in_the_middle_of_traffic_hangs_no_caller(connect: Connect, script: ScriptedServer) -> None:
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
