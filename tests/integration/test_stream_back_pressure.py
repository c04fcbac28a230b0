"""A stream is read no faster than it is answered: its own requests never make it overloaded."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.calls.rpc import DEADLINE
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

REQUESTS = 40


def requests(request: PredictRequest) -> Iterator[PredictRequest]:
    for _ in range(REQUESTS):
        yield request


def picture(image: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("count", [3_000, 5_300])
def test_a_stream_alone_may_send_requests_of_thousands_of_images(
    stub: PredictionServiceStub, test_images: NDArray[np.uint8], count: int
) -> None:
    request = PredictRequest(images=test_images[:count].tobytes())
    replies = list(stub.PredictStream(requests(request), timeout=DEADLINE))
    assert [len(reply.digits) for reply in replies] == [count] * REQUESTS


def test_a_stream_alone_may_send_requests_of_many_files(
    stub: PredictionServiceStub, test_images: NDArray[np.uint8]
) -> None:
    request = PredictRequest(image_files=[picture(image) for image in test_images[:17]])
    replies = list(stub.PredictStream(requests(request), timeout=DEADLINE))
    assert [len(reply.digits) for reply in replies] == [17] * REQUESTS


def test_many_streams_of_one_connection_share_the_queue(
    repository: Path, test_images: NDArray[np.uint8], transport: str
) -> None:
    """Together they want eight times the available places."""
    del transport
    request = PredictRequest(images=test_images[:1000].tobytes())
    bounds = ("--max-queue-size", "4096", "--max-waiting-files", "16")
    with ServerProcess("--repository", repository, *bounds) as server, server.wait_ready().channel() as channel:
        stub = PredictionServiceStub(channel)
        streams = [stub.PredictStream(requests(request), timeout=DEADLINE) for _ in range(8)]
        for stream in streams:
            assert [len(reply.digits) for reply in stream] == [1000] * REQUESTS
        assert server.metric("digits_rejected_total", reason="overloaded") == 0
