"""A load test with Locust: every user sends images over gRPC and waits for the answer.

    locust -f locustfile.py --host localhost:50051 --headless --users 8 --run-time 10s --rate 200

Locust's own flags say how many users there are and how long they run. Without --headless it has a page to draw the
figures. Two flags are ours: --images, the images of a request, and --rate, the requests per second of all users
together (0: each user sends the next request as soon as the last one is answered).
"""

import time
from argparse import ArgumentParser
from typing import Any

import grpc
from grpc.experimental import gevent as grpc_gevent
from locust import User, events, task

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

grpc_gevent.init_gevent()  # so that a user who waits for an answer lets the others go on

PIXELS = 784
TIMEOUT_SECONDS = 10.0
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


@events.init_command_line_parser.add_listener
def _flags(parser: ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=1, help="images of a request")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="requests per second of all users together; 0: no limit"
    )


class DigitsUser(User):
    """One caller with a connection of its own."""

    host = "localhost:50051"

    def on_start(self) -> None:
        options = self.environment.parsed_options
        self._channel = grpc.insecure_channel(self.host, options=OWN_CONNECTION)
        self._predict = PredictionServiceStub(self._channel).Predict
        self._request = PredictRequest(images=bytes(PIXELS * options.images))
        self._seconds = options.num_users / options.rate if options.rate else 0.0
        self._next = time.perf_counter()

    def on_stop(self) -> None:
        self._channel.close()

    def wait_time(self) -> float:
        """Until this user's turn comes again. A user who is late sends at once."""
        self._next = max(self._next + self._seconds, time.perf_counter())
        return self._next - time.perf_counter()

    @task
    def predict(self) -> None:
        """One request, which Locust counts and times."""
        begin, size, failure = time.perf_counter(), 0, None
        try:
            size = self._predict(self._request, timeout=TIMEOUT_SECONDS).ByteSize()
        except grpc.RpcError as error:
            failure = error
        fired: dict[str, Any] = {
            "request_type": "grpc",
            "name": "Predict",
            "response_time": (time.perf_counter() - begin) * 1e3,
            "response_length": size,
            "exception": failure,
        }
        self.environment.events.request.fire(**fired)
