"""A well-behaved caller, next to attackers."""

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Self

import grpc
import numpy as np

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from support.waiting import until

CALL_SECONDS = 20.0
REQUEST = PredictRequest(images=bytes(784))
TRIES, RETRY_SECONDS, BUSY = 4, 0.25, (429, 503)
"""Retries over HTTP: how many tries, after which pause, and after which statuses."""
OBEDIENT = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "digits.v1.PredictionService"}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["RESOURCE_EXHAUSTED"],
                },
            }
        ]
    }
)
"""gRPC's own retry when the server asks for it: its push-back replaces the backoff."""


class Witness:
    """Calls again and again, one at a time, until the end of the context; keeps every latency and every failure.

    pause  seconds between two calls
    """

    def __init__(self, call: Callable[[], object], *, pause: float = 0.0) -> None:
        self._call = call
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join(2 * CALL_SECONDS)

    @property
    def calls(self) -> int:
        return len(self.seconds) + len(self.failures)

    def wait_for_more(self, calls: int) -> None:
        """Returns when this many more calls have ended."""
        enough = self.calls + calls
        until(lambda: self.calls >= enough, f"{calls} more calls", 120)

    def p99(self, since: int = 0) -> float:
        """Seconds, of the answers from the one with this number on."""
        assert len(self.seconds) > since, f"no call was answered: {self.failures[-1:]}"
        return float(np.quantile(self.seconds[since:], 0.99))

    def _run(self) -> None:
        while not self._stopping.is_set():
            begin = time.perf_counter()
            try:
                self._call()
            except (grpc.RpcError, OSError) as error:
                self.failures.append(str(error))
            else:
                self.seconds.append(time.perf_counter() - begin)
            self._stopping.wait(self._pause)


class GrpcWitness(Witness):
    """Over a stock channel that stays open. An obedient one retries when it is told to, three times at most."""

    def __init__(self, target: str, *, obedient: bool = False, pause: float = 0.0) -> None:
        self._channel = grpc.insecure_channel(target, [("grpc.service_config", OBEDIENT)] if obedient else [])
        stub = PredictionServiceStub(self._channel)
        super().__init__(lambda: stub.Predict(REQUEST, timeout=CALL_SECONDS), pause=pause)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._channel.close()


class HttpWitness(Witness):
    """Like a probe: on a new connection each time, over TLS with a context for it."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None, *, pause: float = 0.0) -> None:
        super().__init__(lambda: urllib.request.urlopen(url, timeout=CALL_SECONDS, context=tls).close(), pause=pause)


class PostWitness(Witness):
    """Classifies an image over HTTP, on a new connection each time. Told that the server is busy, it tries again."""

    def __init__(self, server: str, *, pause: float = 0.0) -> None:
        tensor = {"name": "images", "shape": [1, 784], "datatype": "UINT8", "data": [0] * 784}
        body = json.dumps({"inputs": [tensor]}).encode()
        request = urllib.request.Request(f"{server}/v2/models/digits/infer", body)
        super().__init__(lambda: self._post(request), pause=pause)

    def _post(self, request: urllib.request.Request) -> None:
        for left in reversed(range(TRIES)):
            try:
                urllib.request.urlopen(request, timeout=CALL_SECONDS).close()
                return
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in BUSY or not left:
                    raise
                time.sleep(RETRY_SECONDS)
