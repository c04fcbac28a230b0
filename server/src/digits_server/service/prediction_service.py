"""The service itself: from requests to predictions. It validates requests, and knows no transport or wire format."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import GetModelRequest, GetModelResponse
from digits_server.errors import InvalidRequest
from digits_server.observability.metrics import Metrics
from digits_server.pictures.images import from_pixels
from digits_server.runtimes import Images, Probabilities
from digits_server.service.calls import TALLY, Call, reason_of
from digits_server.service.file_decoder import FileDecoder
from digits_server.service.messages import OneReply, Reply, Request
from digits_server.service.read_ahead import ReadAhead
from digits_server.service.streaming import in_order
from digits_server.serving.registry import ModelRegistry


class Classified(NamedTuple):
    """N images answered by one version: digits uint8[N], confidences float32[N], probabilities float32[N, 10].

    unlike  how unlike the training images each is, float32[N]; None unless asked for
    """

    version: int
    digits: NDArray[np.uint8]
    confidences: NDArray[np.float32]
    probabilities: Probabilities
    unlike: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class PredictionService:
    """The operations of every protocol. Errors are ServingError; each carries its status.

    ahead  how far streams may read ahead of what is answered
    """

    models: ModelRegistry
    decoder: FileDecoder
    metrics: Metrics
    ahead: ReadAhead

    async def classify(
        self,
        inputs: Images | Sequence[bytes],
        version: int,
        call: Call,
        *,
        unlike: bool = False,
        may_lack: bool = False,
    ) -> Classified:
        """The digits of N images by one version; 0 is the current one.

        `inputs` are pixels, uint8[N, 28, 28], or N encoded image files. Counts the predictions. With `unlike`, the
        version must have these scores, unless it `may_lack` them.
        """
        answered_by, probabilities, scores = await self._scored(inputs, version, call, unlike=unlike, may_lack=may_lack)
        digits, confidences = best(probabilities)
        self.metrics.predictions.add(answered_by, digits, confidences)
        return Classified(answered_by, digits, confidences, probabilities, scores)

    async def decode(self, files: Sequence[bytes], call: Call) -> Images:
        """The pixels of N encoded image files for the model, uint8[N, 28, 28]."""
        return await self.decoder.decode(files, call)

    async def predict(self, request: Request, call: Call, *, patient: bool = False) -> Reply | OneReply:
        """Answers one digits.v1.PredictRequest. A `patient` request waits for a place if the queue is full."""
        version, probabilities, unlike = await self._scored(
            _inputs(request), request.model_version, call, patient=patient, unlike=request.include_unlike
        )
        if len(probabilities) == 1 and not (request.include_probabilities or request.include_unlike):
            digit, confidence = best_of_one(probabilities)
            self.metrics.predictions.add_one(version, digit, confidence)
            return OneReply(digit, confidence, version)
        digits, confidences = best(probabilities)
        self.metrics.predictions.add(version, digits, confidences)
        return Reply(digits, confidences, version, probabilities if request.include_probabilities else None, unlike)

    async def predict_stream(self, requests: AsyncIterator[Request], call: Call) -> AsyncIterator[Reply | OneReply]:
        """Answers the requests in order, and works on several of them at once, as `ahead` allows.

        If the queue is full, the stream waits and reads on later; its requests are not rejected. The first error ends
        the stream, after the replies before it.
        """
        async with aclosing(
            in_order(
                requests,
                lambda request: self.predict(request, call, patient=True),
                window=self.ahead.of(call.peer),
                draining=self.models.draining,
                size=_size,
            )
        ) as replies:
            async for reply in replies:
                yield reply

    async def get_model(self, _request: GetModelRequest, _call: Call) -> GetModelResponse:
        """The current model, and the state of every version seen. Raises Unavailable before a model serves."""
        current = self.models.current
        return GetModelResponse(
            manifest=current.manifest,
            runtime=current.runtime.name,
            versions=self.models.statuses(),
            pinned_version=self.models.rollout.pinned,
            canary_version=self.models.canary_version,
            canary_share=self.models.canary_share,
            shadow_version=self.models.shadow_version,
        )

    async def _scored(
        self,
        inputs: Images | Sequence[bytes],
        version: int,
        call: Call,
        *,
        patient: bool = False,
        unlike: bool = False,
        may_lack: bool = False,
    ) -> tuple[int, Probabilities, NDArray[np.float32] | None]:
        """The version that answered, its answer, and the scores of unlike if they are wanted."""
        if isinstance(inputs, np.ndarray):
            images = inputs
        else:
            self.models.check(version)
            images = await self.decoder.decode(inputs, call, patient=patient)
        model = self.models.get(version)  # only now: the version may have been retired meanwhile
        if tally := TALLY.get():
            tally.add(len(images), model.version)
        if unlike and model.scoring is None and not may_lack:
            raise InvalidRequest(
                f"unlike: model version {model.version} does not give this score; only versions with unlike.tflite do, "
                "served with LiteRT"
            )
        scoring = model.scoring if unlike else None
        counts, begin = self.metrics.predictions.of(model.version), perf_counter()
        try:
            answer = await (scoring or model.batcher).submit(images, call.deadline, call.peer, patient=patient)
        except BaseException as error:
            counts.failed(reason_of(error, call))
            raise
        counts.answered(1, perf_counter() - begin)
        if not scoring:
            return model.version, answer, None
        scores = answer[:, 10]
        self.metrics.unlike.add(scores)
        return model.version, answer[:, :10], scores


def _size(request: Request) -> int:
    """Bytes of the images of a request."""
    return len(request.images) + sum(map(len, request.image_files))


def _inputs(request: Request) -> Images | Sequence[bytes]:
    """The pixels of a request, uint8[N, 28, 28], or its files."""
    if request.images:
        if request.image_files:
            raise InvalidRequest("images, image_files: expected exactly one of the two, got both")
        return from_pixels(request.images)
    if not request.image_files:
        raise InvalidRequest("images, image_files: expected exactly one of the two, got neither")
    return list(request.image_files)


def best(probabilities: Probabilities) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The digit of each row, the first where several are equal, and its probability: uint8[N], float32[N]."""
    digits = probabilities.argmax(axis=1)
    return digits.astype(np.uint8), probabilities[np.arange(len(digits)), digits]  # max(axis=1) takes 30 times as long


def best_of_one(probabilities: Probabilities) -> tuple[int, float]:
    """The same for a single row, as most requests have: comparing ten floats is faster than calling NumPy."""
    row: list[float] = probabilities[0].tolist()
    confidence = max(row)
    return row.index(confidence), confidence
