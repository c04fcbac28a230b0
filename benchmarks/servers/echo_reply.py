"""What the Python echoes answer: replies of a real one's size, made once per size."""

from functools import cache

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse

PIXELS = 784


@cache
def _reply(images: int) -> PredictResponse:
    return PredictResponse(digits=[7] * images, confidences=[0.5] * images, model_version=1)


def answer(request: PredictRequest) -> PredictResponse:
    return _reply(len(request.images) // PIXELS)
