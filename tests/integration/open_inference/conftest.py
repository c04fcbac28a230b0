"""A stub of the Open Inference Protocol at the server."""

from collections.abc import Iterator

import pytest
from support.servers.process import ServerProcess

from digits.inference.inference_pb2_grpc import GRPCInferenceServiceStub


@pytest.fixture
def inference(server: ServerProcess) -> Iterator[GRPCInferenceServiceStub]:
    with server.channel() as channel:
        yield GRPCInferenceServiceStub(channel)
