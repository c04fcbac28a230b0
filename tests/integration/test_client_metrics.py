"""`digits_client.metrics`: the metrics of calls in a Prometheus registry, in both clients."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import grpc
import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from support.client.both import Blocking, Connect
from support.client.scripted import Gate, ScriptedServer, refusing
from support.waiting import until

from digits_client import AsyncClient, Client, InvalidInput, Misused, Unavailable
from digits_client.metrics import measured

IMAGE = np.zeros((28, 28), np.uint8)
Value = Callable[..., float | None]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def value(registry: CollectorRegistry) -> Value:
    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"digits_client_{name}", labels)

    return value


@pytest.fixture
def client(connect: Connect, script: ScriptedServer, registry: CollectorRegistry) -> Client:
    made: Any = connect(script.target, retries=None)
    measured(made.client if isinstance(made, Blocking) else made, registry)
    return cast(Client, made)


def test_calls_are_counted_by_method_and_status_and_timed(client: Client, script: ScriptedServer, value: Value) -> None:
    assert client.predict(IMAGE).digit == client.predict_batch([IMAGE] * 3)[0].digit == 0
    assert client.health()
    client.model()
    with pytest.raises(InvalidInput):
        client.predict("absent.png")
    script.answer = refusing(grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(Unavailable):
        client.predict(IMAGE)
    for method in ("predict", "predict_batch", "health", "model"):
        assert value("calls_total", method=method, status="OK") == 1
        assert value("calls_waiting", method=method) == 0
    assert value("calls_total", method="predict", status="INVALID_ARGUMENT") == 1
    assert value("calls_total", method="predict", status="UNAVAILABLE") == 1
    assert value("call_seconds_count", method="predict") == 3


def test_iterators_are_counted_once_also_when_their_caller_leaves_early(client: Client, value: Value) -> None:
    assert len(list(client.predict_iter([IMAGE] * 3))) == 3
    answers: Any = client.predict_stream([IMAGE] * 3)
    next(answers)
    answers.close()
    for method in ("predict_iter", "predict_stream"):
        assert value("calls_total", method=method, status="OK") == 1
        assert value("calls_waiting", method=method) == 0
        assert value("call_seconds_count", method=method) is None


def test_rpcs_of_a_batch_that_are_sent_again_are_counted(
    connect: Connect, script: ScriptedServer, registry: CollectorRegistry, value: Value
) -> None:
    made: Any = connect(script.target)
    measured(made.client if isinstance(made, Blocking) else made, registry)
    script.answer = refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, times=2, pushback=1)
    assert len(made.predict_batch([IMAGE] * 3)) == 3
    assert value("retries_total") == 2
    assert value("calls_total", method="predict_batch", status="OK") == 1


async def test_a_call_is_waiting_until_it_ends_and_a_cancelled_one_is_counted(
    script: ScriptedServer, registry: CollectorRegistry, value: Value
) -> None:
    script.answer = Gate()
    async with measured(AsyncClient(script.target), registry) as client:
        calls = [asyncio.create_task(client.predict(IMAGE)) for _ in range(3)]
        await asyncio.to_thread(until, lambda: value("calls_waiting", method="predict") == 3, "three calls wait")
        calls[1].cancel()
        script.answer.open()
        await asyncio.gather(*calls, return_exceptions=True)
    assert value("calls_waiting", method="predict") == 0
    assert value("calls_total", method="predict", status="CANCELLED") == 1
    assert value("calls_total", method="predict", status="OK") == 2


def test_clients_of_one_registry_add_up_and_no_client_is_measured_twice(
    script: ScriptedServer, registry: CollectorRegistry, value: Value
) -> None:
    with measured(Client(script.target), registry) as one, measured(Client(script.target), registry) as other:
        one.predict(IMAGE)
        other.predict(IMAGE)
        with pytest.raises(Misused, match="measured already"):
            measured(one, registry)
    assert value("calls_total", method="predict", status="OK") == 2
