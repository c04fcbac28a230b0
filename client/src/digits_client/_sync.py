"""The client for threads."""

import os
import time
from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest
from digits_client import _limits, _shared
from digits_client._answers.models import ModelInfo, model_info
from digits_client._answers.results import Prediction, Predictions, concatenated
from digits_client._calls.calling_threads import ThreadCaller
from digits_client._calls.stream_threads import ThreadStream
from digits_client._coalescing.stats import Stats
from digits_client._connection import health
from digits_client._connection.metadata import Metadata, pairs
from digits_client._errors import (
    DeadlineExceeded,
    DigitsError,
)
from digits_client._inputs.chunks import chunks
from digits_client._inputs.images import Image, encode

if TYPE_CHECKING:
    from typing_extensions import Self


class Client(ThreadCaller):
    """Calls a Digits server. Safe to share between threads; a context manager that closes its connections.

    Every call takes a `timeout` in seconds, retries included (default: that of the client), and raises a DigitsError.
    A call that finds the server UNAVAILABLE is tried again, up to five times in all, within its timeout.

    Calls of `predict` that happen at the same time share RPCs. The metadata and the request id of the client go with
    every RPC. A call with its own `metadata` or `request_id` does not share an RPC: an RPC carries one set of metadata,
    and a request id in the server's log must mean one request. The call's entries replace the client's of the same
    name. All RPCs of one `predict_batch` or `predict_iter` carry the same.
    """

    def predict(
        self,
        image: Image,
        *,
        probabilities: bool = False,
        labels: bool = False,
        unlike: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """The digit in one image.

        image          28 × 28 pixels, 0 background to 255 ink, or a picture file (PNG, JPEG, WebP, GIF): its bytes, its
                       path, the open file, a Pillow image. A string is a path: never pass one that a user sent
        probabilities  whether to return all ten
        labels         whether to return the model's own name of the digit: costs one GetModel for each model version
        unlike         whether to return how unlike the training images it is; InvalidInput if the version has no such
                       score
        model_version  the version that must answer; 0 for the current one
        convert        take an array of floats from 0 to 1 too, and round it to 0 to 255
        """
        seconds = self._seconds(timeout)
        deadline = time.monotonic() + seconds if labels else 0.0
        asked = _shared.kind(model_version, probabilities=probabilities, unlike=unlike)
        own = pairs(metadata, request_id)
        encoded = encode(image, convert=convert)
        connection = self._connection()
        if connection.coalescer and not encoded.is_file and not own:
            answer = connection.coalescer.predict(encoded.data, asked, seconds)
        else:
            request = _shared.request([encoded.data], asked, are_files=encoded.is_file)
            answer = _shared.answers(self._call(connection.stub.Predict, request, seconds, own), 1, asked)[0]
        if labels:
            self._learn(answer.model_version, deadline, own)
            return self._labels.named(answer)
        return answer

    def predict_batch(
        self,
        images: NDArray[Any] | Iterable[Image],
        *,
        probabilities: bool = False,
        labels: bool = False,
        unlike: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        request_id: str | None = None,
    ) -> Predictions:
        """The digits in any number of images, in their order.

        images   uint8[N, 28, 28], or any iterable of what `predict` takes. Sent as several RPCs, a few at a time
        timeout  seconds for all of them together; without it, each RPC may take the client's own timeout

        An RPC that an overloaded server refused is sent again after the server's delay, within its timeout.
        When an RPC finally fails, no further RPC is sent. The error's `failed` has the positions of that RPC's images,
        and `answered` the predictions that had arrived for the images before it. A file that cannot be read raises an
        UnreadableFile with its name, for example FileNotFound.
        """
        asked = _shared.kind(model_version, probabilities=probabilities, unlike=unlike)
        deadline = _shared.deadline_of_each_rpc(timeout, self._timeout)
        own = pairs(metadata, request_id)
        line = chunks(images, asked, convert=convert, sizes=self._endpoint.sizes)
        parts: list[Predictions] = []
        try:
            for part in self._bulk(asked, deadline, own).parts(line):
                parts.append(self._named(part, deadline(), own) if labels else part)  # noqa: PERF401  # it must outlive an error
        except DigitsError as error:
            raise _shared.explained(error, parts, asked, labels=labels)  # noqa: B904  # it is the same error
        return concatenated(parts, probabilities=asked.probabilities, unlike=asked.unlike, labels=labels)

    def predict_iter(
        self,
        images: NDArray[Any] | Iterable[Image],
        *,
        probabilities: bool = False,
        labels: bool = False,
        unlike: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        batch_size: int | None = None,
        metadata: Metadata | None = None,
        request_id: str | None = None,
    ) -> Generator[Prediction, None, None]:
        """The same as a generator, for more images than fit in memory: a few thousand are held at a time.

        images      uint8[N, 28, 28], which may be memory-mapped, or any iterable of what `predict` takes, also an
                    endless one. An RPC is sent when its images are complete
        timeout     seconds for each RPC
        batch_size  images of each RPC, 1 to 1,024 (at most 16 files); fewer give earlier answers from a slow source.
                    Available answers are yielded before the source is asked for the next image
        """
        deadline = _shared.deadline_of_each_rpc(None, self._seconds(timeout))
        asked = _shared.kind(model_version, probabilities=probabilities, unlike=unlike)
        own = pairs(metadata, request_id)
        line = chunks(images, asked, convert=convert, sizes=self._endpoint.sizes.at_most(batch_size))
        for part in self._bulk(asked, deadline, own).parts(line):
            yield from self._named(part, deadline(), own) if labels else part

    def predict_stream(
        self,
        images: NDArray[Any] | Iterable[Image],
        *,
        probabilities: bool = False,
        labels: bool = False,
        unlike: bool = False,
        model_version: int = 0,
        convert: bool = False,
        timeout: float | None = None,
        batch_size: int | None = None,
        metadata: Metadata | None = None,
        request_id: str | None = None,
    ) -> Generator[Prediction, None, None]:
        """The digits of a live source over one RPC, PredictStream, each as soon as the server has answered it.

        images      what `predict_iter` takes. The source is read in a separate thread, so that answers arrive while it
                    waits, and at most 16 requests ahead of the answers that the caller has taken
        timeout     seconds that each answer may take after its request was sent; the stream as a whole has no limit
        batch_size  images of each request, 1 by default, to 1,024; more make a fast source cheaper

        The first failure ends the stream, after the answers before it; `failed` has the positions of the images whose
        answer is missing. An exception of the source is raised here, after the answers of the images before it. A
        caller that stops iterating (break, `close()` of the generator) ends the RPC.
        """
        seconds = self._seconds(timeout)
        asked = _shared.kind(model_version, probabilities=probabilities, unlike=unlike)
        own = pairs(metadata, request_id)
        line = chunks(
            images, asked, convert=convert, sizes=self._endpoint.sizes.at_most(1 if batch_size is None else batch_size)
        )
        connection = self._connection()

        def begin(requests: Iterator[PredictRequest]) -> Any:
            try:
                return connection.begin_stream(requests, own, seconds)
            except ValueError as error:  # what gRPC raises on a channel that was closed meanwhile
                raise self._error(error) from error

        for part in ThreadStream(begin, self._error, asked, seconds).parts(line):
            yield from self._named(part, time.monotonic() + seconds, own) if labels else part

    def model(
        self, *, timeout: float | None = None, metadata: Metadata | None = None, request_id: str | None = None
    ) -> ModelInfo:
        """The model that is served: its labels, its accuracy, its runtime, and the state of every version."""
        own = pairs(metadata, request_id)
        return model_info(self._call(self._connection().stub.GetModel, GetModelRequest(), self._seconds(timeout), own))

    def health(
        self, *, timeout: float | None = None, metadata: Metadata | None = None, request_id: str | None = None
    ) -> bool:
        """Whether the server says that it answers predictions now."""
        own = pairs(metadata, request_id)
        request = health.request(_shared.SERVICE)
        return health.is_serving(self._call(self._connection().check, request, self._seconds(timeout), own))

    def wait_ready(self, timeout: float | None = _limits.TIMEOUT_SECONDS) -> None:
        """Returns once the server answers predictions. DeadlineExceeded when it does not within `timeout` seconds."""
        deadline = time.monotonic() + (limit := _shared.seconds(timeout))
        while reason := self._not_ready(self._connection(), deadline):
            if time.monotonic() + _limits.POLL_SECONDS >= deadline:
                raise DeadlineExceeded(f"the server was not ready within {limit:g} seconds") from reason
            if _shared.is_unresolved(reason):
                self._renew(deadline)
            time.sleep(_limits.POLL_SECONDS)

    def stats(self) -> Stats:
        """Counts of how calls share RPCs in this process. Does not ask a server."""
        connection = self._connections.get(os.getpid())
        return connection.stats() if connection else Stats()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
