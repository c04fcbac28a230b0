"""Callers that never stop calling."""

import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

CALL_SECONDS = 20.0
WITHOUT_RETRIES = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
STOCK = [("grpc.use_local_subchannel_pool", 1)]
"""A stock channel sends a call again that never left, as when its connection was just told to go."""


class SteadyLoad:
    """`callers` threads, each with one call in flight at a time. Counts what every call came to."""

    def __init__(self, target: str, callers: int, options: Sequence[tuple[str, int]] = WITHOUT_RETRIES) -> None:
        self._target = target
        self._options = options
        self._stopping = threading.Event()
        self._outcomes: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * CALL_SECONDS)

    def outcomes(self) -> dict[str, int]:
        """How many calls came to "OK", or to a status with its message."""
        with self._counting:
            return dict(self._outcomes)

    def wait_for_more(self, calls: int) -> None:
        """Returns when this many more calls have come to an end."""
        enough = sum(self.outcomes().values()) + calls
        until(lambda: sum(self.outcomes().values()) >= enough, f"{calls} more calls under load", 120)

    def _call(self) -> None:
        with grpc.insecure_channel(self._target, self._options) as channel:
            predict = PredictionServiceStub(channel).Predict
            while not self._stopping.is_set():
                outcome = "OK"
                try:
                    predict(PredictRequest(images=bytes(784)), timeout=CALL_SECONDS)
                except grpc.RpcError as error:
                    outcome = f"{error.code().name}: {error.details()}"
                with self._counting:
                    self._outcomes[outcome] += 1
