"""Calls of pixels are answered in the receiving thread; all others reach the event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import sleep
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import aio
from numpy.typing import NDArray
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_server.errors import NotFound
from digits_server.observability.direct_counts import DirectCounts
from digits_server.observability.metrics import Metrics
from digits_server.rpcs.rpc import UnaryRpc
from digits_server.rpcs.table import PREDICTION_SERVICE, predictions
from digits_server.service.calls import Call
from digits_server.service.direct_predictions import DirectPredictions
from digits_server.service.messages import Request
from digits_server.service.offload import Offload
from digits_server.transports.limits import Limits
from digits_server.transports.native.transport import NativeTransport

SECONDS = 30.0
TOKEN = "Bearer 0123456789abcdef"  # noqa: S105 - of this test alone


class Model:
    """The digit of an image is the value of its first pixel."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.broken = False
        self.seconds = 0.0

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.broken:
            raise ValueError("broken")
        self.batches.append(len(images))
        sleep(self.seconds)
        probabilities = np.zeros((len(images), 10), np.float32)
        probabilities[np.arange(len(images)), images[:, 0, 0]] = 1
        return probabilities


def image(digit: int) -> bytes:
    return bytes([digit]) + bytes(783)


class Serving:
    """A transport whose event loop answers Predict with NOT_FOUND: the reply shows which way a call took."""

    def __init__(self) -> None:
        self.model = Model()
        self.metrics = Metrics()
        self.served: Any = SimpleNamespace(version=3, runtime=self.model, direct_images=256)

    def transport(self, *, calls: int = 2048, tokens: bool = False) -> NativeTransport:
        async def elsewhere(_request: Request, _call: Call) -> Any:
            raise NotFound("the event loop answered")

        metrics = self.metrics.rpc("unary", PREDICTION_SERVICE, "Predict")
        offload = Offload("messages", 1 << 20)
        rpc = UnaryRpc(PREDICTION_SERVICE, "Predict", predictions(), metrics, None, offload, behaviour=elsewhere)
        limits = Limits(message_bytes=1 << 20, calls=calls, unfinished=8, connections=8, idle_seconds=0, age_seconds=0)
        direct = DirectPredictions(lambda: self.served, DirectCounts(self.metrics), calls)
        knows = (lambda value: value == TOKEN) if tokens else None
        return NativeTransport([rpc], direct, "127.0.0.1", 0, limits, knows=knows, shared=False)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def failures(self, reason: str) -> float:
        """The requests that the version did not answer for this reason."""
        return self.count("digits_version_failures_total", model_version="3", reason=reason)


@pytest.fixture
async def serving() -> AsyncIterator[tuple[Serving, PredictionServiceStub]]:
    setup = Serving()
    transport = setup.transport()
    await transport.open()
    await transport.start()
    async with aio.insecure_channel(f"127.0.0.1:{transport.port}") as channel:
        yield setup, PredictionServiceStub(channel)
    await transport.stop(SECONDS)


Both = tuple[Serving, Any]


async def test_one_image_never_reaches_the_event_loop(serving: Both) -> None:
    setup, stub = serving
    reply: PredictResponse = await stub.Predict(PredictRequest(images=image(7)), timeout=SECONDS)
    assert (list(reply.digits), list(reply.confidences), reply.model_version) == ([7], [1.0], 3)
    assert setup.model.batches == [1]


async def test_calls_of_several_sizes_at_once_get_their_own_answers(serving: Both) -> None:
    setup, stub = serving
    wanted = [[(start + place) % 10 for place in range(start % 32 + 1)] for start in range(200)]
    requests = [PredictRequest(images=b"".join(map(image, digits))) for digits in wanted]
    replies = await asyncio.gather(*(stub.Predict(request, timeout=SECONDS) for request in requests))
    assert [list(reply.digits) for reply in replies] == wanted
    assert sum(setup.model.batches) == sum(map(len, wanted))
    labels = {"grpc_type": "unary", "grpc_service": PREDICTION_SERVICE, "grpc_method": "Predict"}
    assert setup.count("grpc_server_started_total", **labels) == 200
    assert setup.count("grpc_server_handled_total", **labels, grpc_code="OK") == 200
    assert setup.count("grpc_server_handling_seconds_count", **labels) == 200
    assert setup.count("digits_queue_seconds_count") == 200
    assert setup.count("digits_batch_size_sum") == sum(map(len, wanted))
    assert setup.count("digits_prediction_confidence_count") == sum(map(len, wanted))
    assert setup.count("digits_predictions_total", model_version="3", digit="4") == sum(
        each.count(4) for each in wanted
    )


@pytest.mark.parametrize(
    "request_",
    [
        PredictRequest(images=image(1) * 33),
        PredictRequest(images=image(1), include_probabilities=True),
        PredictRequest(images=image(1), model_version=1),
        PredictRequest(image_files=[bytes(787)]),
    ],
    ids=["many images", "probabilities", "a version", "files"],
)
async def test_a_call_out_of_the_ordinary_goes_to_the_event_loop(serving: Both, request_: PredictRequest) -> None:
    setup, stub = serving
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(request_, timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert setup.model.batches == []


async def test_all_calls_go_to_the_event_loop_while_another_model_takes_part(serving: Both) -> None:
    setup, stub = serving
    setup.served = None
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(PredictRequest(images=image(1)), timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_calls_of_more_images_than_a_slow_model_computes_in_time_go_to_the_event_loop(serving: Both) -> None:
    setup, stub = serving
    setup.served.direct_images = 3
    assert len((await stub.Predict(PredictRequest(images=image(1) * 3), timeout=SECONDS)).digits) == 3
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(PredictRequest(images=image(1) * 4), timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_model_that_fails_fails_its_batch_and_no_other(serving: Both) -> None:
    setup, stub = serving
    setup.model.broken = True
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(PredictRequest(images=image(1)), timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert "broken" not in str(caught.value.details())
    assert setup.count("digits_rejected_total", reason="inference_failed") == 1
    assert setup.failures("inference_failed") == 1
    setup.model.broken = False
    assert list((await stub.Predict(PredictRequest(images=image(2)), timeout=SECONDS)).digits) == [2]


async def test_calls_that_end_while_they_wait_are_failures_of_the_version(serving: Both) -> None:
    setup, stub = serving
    setup.model.seconds = 0.3
    answered = 0
    async with asyncio.timeout(SECONDS):
        while not (setup.failures("deadline") and setup.failures("cancelled")):  # a slow machine sends them too late
            setup.model.batches.clear()
            first = asyncio.ensure_future(stub.Predict(PredictRequest(images=image(1))))
            await asyncio.to_thread(until, lambda: bool(setup.model.batches), "the model is busy")
            late = stub.Predict(PredictRequest(images=image(1)), timeout=0.1)
            left = stub.Predict(PredictRequest(images=image(1)), timeout=SECONDS)
            await asyncio.gather(late, return_exceptions=True)
            left.cancel()
            await first
            await stub.Predict(PredictRequest(images=image(1)))  # those that ended are counted before the next batch
            answered += 2
    assert setup.count("digits_version_request_seconds_count", model_version="3") >= answered
    assert setup.count("digits_version_request_seconds_sum", model_version="3") >= answered * setup.model.seconds


async def test_a_call_without_a_known_token_goes_to_where_it_is_refused() -> None:
    setup = Serving()
    transport = setup.transport(tokens=True)
    await transport.open()
    await transport.start()
    async with aio.insecure_channel(f"127.0.0.1:{transport.port}") as channel:
        stub: Any = PredictionServiceStub(channel)
        for metadata in ((), (("authorization", "Bearer no"),), (("authorization", TOKEN), ("authorization", "no"))):
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Predict(PredictRequest(images=image(1)), metadata=metadata, timeout=SECONDS)
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        known = (("authorization", TOKEN),)
        assert (await stub.Predict(PredictRequest(images=image(1)), metadata=known, timeout=SECONDS)).model_version == 3
    await transport.stop(SECONDS)


async def test_an_overloaded_server_says_when_to_come_back() -> None:
    setup = Serving()
    setup.model.seconds = 0.05  # while it computes one call, those of the other connections arrive
    transport = setup.transport(calls=1)
    await transport.open()
    await transport.start()
    own = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncExitStack() as open_channels, asyncio.timeout(SECONDS):
        target = f"127.0.0.1:{transport.port}"
        channels = [
            await open_channels.enter_async_context(aio.insecure_channel(target, options=own)) for _ in range(8)
        ]
        stubs: list[Any] = [PredictionServiceStub(channel) for channel in channels]
        refused: list[aio.AioRpcError] = []
        while not refused:
            calls = (stub.Predict(PredictRequest(images=image(1)), timeout=SECONDS) for stub in stubs)
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert any(isinstance(end, PredictResponse) for end in ends)
            refused = [end for end in ends if isinstance(end, aio.AioRpcError)]
    for error in refused:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "max_calls" in str(error.details())
        assert int(dict(error.trailing_metadata() or ())["digits-retry-pushback-ms"]) > 0
    assert setup.count("digits_rejected_total", reason="overloaded") == len(refused)
    assert setup.failures("overloaded") == len(refused)
    await transport.stop(SECONDS)


async def test_a_failure_of_the_receiving_thread_ends_its_calls_and_not_the_thread(serving: Both) -> None:
    setup, stub = serving
    unexpected = SimpleNamespace(runtime=setup.model, direct_images=256)  # it has no version
    served, setup.served = setup.served, unexpected
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.Predict(PredictRequest(images=image(1)), timeout=SECONDS)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    setup.served = served
    assert list((await stub.Predict(PredictRequest(images=image(2)), timeout=SECONDS)).digits) == [2]
