"""A server that polls its repository constantly, and its answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from digits.v1.prediction_pb2 import GetModelRequest, GetModelResponse, ModelVersionStatus, PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from support.calls.rpc import DEADLINE
from support.servers.process import ServerProcess
from support.waiting import until


class Follower:
    """A server that polls `root` constantly, and its answers."""

    def __init__(self, server: ServerProcess, stub: PredictionServiceStub) -> None:
        self.server = server
        self._stub = stub

    def model(self) -> GetModelResponse:
        return self._stub.GetModel(GetModelRequest(), timeout=DEADLINE)

    def states(self) -> dict[int, str]:
        return {item.version: ModelVersionStatus.State.Name(item.state) for item in self.model().versions}

    def reason(self, version: int) -> str:
        return next(item.reason for item in self.model().versions if item.version == version)

    def answer(self, version: int = 0) -> tuple[int, int]:
        """The version that answers when `version` is asked for, and the digit it sees."""
        reply = self._stub.Predict(PredictRequest(images=bytes(784), model_version=version), timeout=DEADLINE)
        return reply.model_version, reply.digits[0]

    def wait_for(self, states: dict[int, str]) -> None:
        until(lambda: self.states() == states, f"the states are {states}")

    def failures(self) -> float:
        return self.server.metric("digits_model_load_failures_total")


@contextmanager
def following(root: Path, *flags: str) -> Iterator[Follower]:
    with (
        ServerProcess("--repository", root, "--poll-interval", "0.02", *flags) as server,
        server.channel() as channel,
    ):
        server.wait_ready()
        yield Follower(server, PredictionServiceStub(channel))
