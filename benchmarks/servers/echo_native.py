"""The floor of the native transport: the library alone, one thread that answers, and no model. `PORT`."""

import signal
import sys
import threading

from pygrpc_native import EVENT_CALL, NativeGrpcFront

from benchmarks.servers.echo_reply import answer
from digits.v1.prediction_pb2 import PredictRequest

METHOD = "/digits.v1.PredictionService/Predict"
IMAGE_BYTES = 784
EVENTS = 256
"""Calls received at once, at most, as in the server."""


def serve(front: NativeGrpcFront) -> None:
    """Answers until the library is closed. As the C++ echo does, it looks at nothing but how many images there are."""
    replies: dict[int, bytes] = {}
    while (events := front.recv_batch(EVENTS)) is not None:
        for kind, call, _, message, _ in events:
            if kind == EVENT_CALL and message is not None:
                images = len(message) // IMAGE_BYTES
                if images not in replies:
                    replies[images] = answer(PredictRequest.FromString(message)).SerializeToString()
                front.respond(call, replies[images])


def main() -> None:
    front = NativeGrpcFront(f"127.0.0.1:{sys.argv[1]}", [(METHOD, False)], io_threads=1)
    front.start()
    thread = threading.Thread(target=serve, args=(front,))
    thread.start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    front.close()
    thread.join()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
