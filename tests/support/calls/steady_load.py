"""Callers that call without a pause."""

from collections.abc import Sequence

import grpc

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from support.calls.callers import Callers

CALL_SECONDS = 20.0
WITHOUT_RETRIES = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
STOCK = [("grpc.use_local_subchannel_pool", 1)]
"""A stock channel sends a call again that never left, as when its connection was just told to go."""


class SteadyLoad(Callers):
    """Threads with a channel each. Outcomes are "OK", or a status with its message."""

    def __init__(self, target: str, callers: int, options: Sequence[tuple[str, int]] = WITHOUT_RETRIES) -> None:
        self._target = target
        self._options = options
        super().__init__(callers)

    def _call(self, _place: int) -> None:
        with grpc.insecure_channel(self._target, self._options) as channel:
            predict = PredictionServiceStub(channel).Predict
            while not self._stopping.is_set():
                outcome = "OK"
                try:
                    predict(PredictRequest(images=bytes(784)), timeout=CALL_SECONDS)
                except grpc.RpcError as error:
                    outcome = f"{error.code().name}: {error.details()}"
                with self._noting:
                    self._outcomes[outcome] += 1
