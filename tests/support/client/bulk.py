"""Images in bulk, told apart by their pixels, and a scripted server that fails one RPC of them."""

import grpc
import numpy as np
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from support.client.scripted import Answer, Refused, first_pixels

CHUNK = 1024
"""Images of one RPC."""


def numbered(count: int) -> NDArray[np.uint8]:
    """uint8[count, 28, 28]; every pixel of image i is i // CHUNK: the chunk in which it is sent."""
    return np.repeat(np.arange(count) // CHUNK, 784).astype(np.uint8).reshape(-1, 28, 28)


def failing(chunk: int, status: grpc.StatusCode) -> Answer:
    """Always refuses the images of one chunk."""

    def answer(request: PredictRequest) -> PredictResponse:
        if request.images[0] == chunk:
            raise Refused(status, "the reason")
        return first_pixels(request)

    return answer
