"""The service itself: PredictRequest in, PredictResponse out. It validates, and knows no transport."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

import numpy as np

from digits.v1.prediction_pb2 import GetModelRequest, GetModelResponse, PredictRequest, PredictResponse
from digits_server.decoding import FileDecoder
from digits_server.errors import InvalidRequest, ServingError
from digits_server.images import from_pixels
from digits_server.metrics import Metrics
from digits_server.registry import ModelRegistry
from digits_server.runtimes import Images, Probabilities
from digits_server.streaming import in_order


@dataclass(frozen=True, slots=True)
class PredictionService:
    """digits.v1.PredictionService over any transport. Errors are ServingError; each carries its status.

    stream_window  requests of one stream that may be in work at once
    """

    models: ModelRegistry
    decoder: FileDecoder
    metrics: Metrics
    stream_window: int

    async def predict(self, request: PredictRequest, deadline: float | None = None) -> PredictResponse:
        """Answers one request. `deadline` is a time of the event loop's clock, seconds."""
        try:
            return await self._predict(request, deadline)
        except ServingError as error:
            self.metrics.rejected(error.reason)
            raise
        except asyncio.CancelledError:
            self.metrics.rejected("cancelled")
            raise

    async def predict_stream(
        self, requests: AsyncIterator[PredictRequest], deadline: float | None = None
    ) -> AsyncIterator[PredictResponse]:
        """Answers request after request, in order, with up to a window of them in work at once.

        The first error ends the stream, after the replies before it.
        """
        answer = partial(self.predict, deadline=deadline)
        async with aclosing(
            in_order(requests, answer, window=self.stream_window, draining=self.models.draining)
        ) as replies:
            async for reply in replies:
                yield reply

    async def get_model(self, _request: GetModelRequest, _deadline: float | None = None) -> GetModelResponse:
        """What is served, and the state of every version seen. Raises Unavailable while nothing is."""
        live = self.models.get()
        return GetModelResponse(manifest=live.manifest, runtime=live.runtime.name, versions=self.models.statuses())

    async def _predict(self, request: PredictRequest, deadline: float | None) -> PredictResponse:
        model = self.models.get(request.model_version)
        images = await self._images(request)
        probabilities = await model.batcher.submit(images, deadline)
        digits, confidences = best(probabilities)
        self.metrics.predictions.add(model.version, digits, confidences)
        return PredictResponse(
            digits=digits,
            confidences=confidences,
            probabilities=probabilities.ravel().tolist() if request.include_probabilities else None,
            model_version=model.version,
        )

    async def _images(self, request: PredictRequest) -> Images:
        """The pixels of a request: uint8[N, 28, 28]."""
        pixels, files = request.images, request.image_files
        if pixels and files:
            raise InvalidRequest("images, image_files: expected exactly one of the two, got both")
        if files:
            return await self.decoder.decode(list(files))
        if not pixels:
            raise InvalidRequest("images, image_files: expected exactly one of the two, got neither")
        return from_pixels(pixels)


def best(probabilities: Probabilities) -> tuple[list[int], list[float]]:
    """The digit of each row, the first where several are equal, and its probability."""
    if len(probabilities) == 1:  # most requests: ten floats are compared before NumPy has begun
        row: list[float] = probabilities[0].tolist()
        confidence = max(row)
        return [row.index(confidence)], [confidence]
    digits = probabilities.argmax(axis=1)
    confidences: list[float] = probabilities[np.arange(len(digits)), digits].tolist()
    return digits.tolist(), confidences
