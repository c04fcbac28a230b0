"""The limits of metadata: more is refused with a status, and does not affect other callers."""

from collections.abc import Iterator

import grpc
import pytest
from support.calls.rpc import DEADLINE, refusal, status_of
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

REQUEST = PredictRequest(images=bytes(784))
ANYTHING_GOES = [("grpc.max_metadata_size", 2**24), ("grpc.absolute_max_metadata_size", 2**24)]
"""Options of a caller who does not look at its own metadata."""


@pytest.fixture
def stub(server: ServerProcess) -> Iterator[PredictionServiceStub]:
    with grpc.insecure_channel(server.target, ANYTHING_GOES) as channel:
        yield PredictionServiceStub(channel)


def predict(stub: PredictionServiceStub, metadata: tuple[tuple[str, str], ...]) -> int:
    return len(stub.Predict(REQUEST, metadata=metadata, timeout=DEADLINE).digits)


@pytest.mark.parametrize(
    "metadata",
    [(("x-note", "a" * 15_000),), tuple((f"x-note-{number}", "a") for number in range(300))],
    ids=["long", "many"],
)
def test_metadata_within_the_limit_is_taken(stub: PredictionServiceStub, metadata: tuple[tuple[str, str], ...]) -> None:
    assert predict(stub, metadata) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        (("x-note", "a" * 17_000),),
        (("x-note", "a" * 60_000),),
        tuple((f"x-note-{number}", "a" * 100) for number in range(200)),
        tuple((f"x-{number}", "") for number in range(1_000)),
    ],
    ids=["long", "longer", "many", "empty"],
)
def test_metadata_over_the_limit_is_refused_and_no_other_call_of_the_connection_is_harmed(
    stub: PredictionServiceStub, transport: str, metadata: tuple[tuple[str, str], ...]
) -> None:
    status = "UNKNOWN" if transport == "native" else "RESOURCE_EXHAUSTED"  # gRPC's status for HTTP's 431
    with_pauses: Iterator[PredictRequest] = iter([REQUEST] * 2)
    replies = stub.PredictStream(with_pauses, timeout=DEADLINE)
    assert len(next(replies).digits) == 1
    assert refusal(lambda: predict(stub, metadata))[0] == status
    assert len(next(replies).digits) == 1
    assert predict(stub, ()) == 1


def test_metadata_far_over_the_limit_harms_no_other_connection(
    server: ServerProcess, stub: PredictionServiceStub
) -> None:
    other_options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(server.target, other_options) as other:
        other_stub = PredictionServiceStub(other)
        replies = other_stub.PredictStream(iter([REQUEST] * 2), timeout=DEADLINE)
        assert len(next(replies).digits) == 1
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                predict(stub, (("x-note", "a" * 1_000_000),))
            assert status_of(caught.value)[0] in ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
        assert len(next(replies).digits) == 1
        assert predict(other_stub, ()) == 1
