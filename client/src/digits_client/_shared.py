"""Requests and replies, without any I/O: what both clients share."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import DESCRIPTOR, PredictRequest, PredictResponse
from digits_client import _limits
from digits_client._errors import ServerError
from digits_client._images import Encoded, Image, encode, pixels
from digits_client._results import Prediction, Predictions

SERVICE: str = DESCRIPTOR.services_by_name["PredictionService"].full_name


def single_request(image: Image, *, model_version: int, probabilities: bool) -> PredictRequest:
    """The request for one image. InvalidInput when it is none."""
    return _request([encode(image)], model_version=model_version, probabilities=probabilities)


def batch_requests(
    images: NDArray[np.uint8] | Iterable[Image], *, model_version: int, probabilities: bool
) -> Iterator[PredictRequest]:
    """The requests for many images, in their order, made as they are taken: files are read one request ahead of none.

    An array is uint8[N, 28, 28]. InvalidInput, naming the place, when one of them is no image.
    """
    if isinstance(images, np.ndarray):
        pixels(images[:0], (-1, 28, 28), "images")  # all of it is checked before any of it is sent
        for start in range(0, len(images), _limits.IMAGES_PER_RPC):
            part = images[start : start + _limits.IMAGES_PER_RPC].tobytes()
            yield PredictRequest(images=part, model_version=model_version, include_probabilities=probabilities)
        return
    for group in _groups(encode(image, f"images[{index}]") for index, image in enumerate(images)):
        yield _request(group, model_version=model_version, probabilities=probabilities)


def prediction(reply: PredictResponse) -> Prediction:
    """The answer for the one image of a request."""
    return predictions(reply, 1)[0]


def predictions(reply: PredictResponse, count: int) -> Predictions:
    """The answers for the `count` images of a request. ServerError when there are more or fewer."""
    if len(reply.digits) != count or len(reply.confidences) != count:
        raise ServerError(f"expected answers for {count} images, got {len(reply.digits)}")
    return Predictions(
        digits=np.array(reply.digits, np.uint8),
        confidences=np.array(reply.confidences, np.float32),
        model_versions=np.full(count, reply.model_version, np.int64),
        probabilities=np.array(reply.probabilities, np.float32).reshape(count, 10) if reply.probabilities else None,
    )


def image_count(request: PredictRequest) -> int:
    """How many images a request asks about."""
    return len(request.image_files) or len(request.images) // 784


def _request(images: list[Encoded], *, model_version: int, probabilities: bool) -> PredictRequest:
    files = images[0].is_file
    return PredictRequest(
        images=b"" if files else b"".join(image.data for image in images),
        image_files=[image.data for image in images] if files else [],
        model_version=model_version,
        include_probabilities=probabilities,
    )


def _groups(images: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    """Consecutive images of one kind, as many as one request may hold."""
    group: list[Encoded] = []
    size = 0
    for image in images:
        most = _limits.FILES_PER_RPC if image.is_file else _limits.IMAGES_PER_RPC
        full = len(group) >= most or size + len(image.data) > _limits.BYTES_PER_RPC
        if group and (full or image.is_file != group[0].is_file):
            yield group
            group, size = [], 0
        group.append(image)
        size += len(image.data)
    if group:
        yield group
