"""How a server is asked and how its answer is read: digits.v1, or the Open Inference Protocol."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.loads.open_inference import infer_probabilities, infer_request
from digits.v1.prediction_pb2 import PredictRequest, PredictResponse

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Protocol:
    """One unary gRPC method.

    request  uint8[N, 28, 28] → the request message
    digits   the reply message → N digits
    """

    name: str
    method: str
    request: Callable[[Images], bytes]
    digits: Callable[[bytes], list[int]]


def framed(message: bytes) -> bytes:
    """A message as gRPC sends it: one byte that says it is not compressed, its length in four, itself."""
    return b"\0" + len(message).to_bytes(4, "big") + message


DIGITS = Protocol(
    "digits.v1",
    "/digits.v1.PredictionService/Predict",
    lambda images: PredictRequest(images=images.tobytes()).SerializeToString(),
    lambda reply: list(PredictResponse.FromString(reply).digits),
)

OPEN_INFERENCE = Protocol(
    "open-inference",
    "/inference.GRPCInferenceService/ModelInfer",
    infer_request,
    lambda reply: [int(digit) for digit in infer_probabilities(reply).argmax(axis=1)],
)
