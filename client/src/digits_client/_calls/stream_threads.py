"""A PredictStream for threads.

gRPC's thread for the stream's requests reads the source, a second thread reads the replies, and the caller's thread
waits for both. So answers arrive while the source waits, and a late answer ends the stream.
"""

import time
from _thread import start_new_thread
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Semaphore
from typing import Any

from digits.v1.prediction_pb2 import PredictRequest
from digits_client import _limits, _shared
from digits_client._answers.results import Predictions
from digits_client._calls.streams import Answers, Sent, read_replies
from digits_client._coalescing.calls import Kind
from digits_client._errors import DigitsError
from digits_client._inputs.chunks import Chunk


@dataclass(frozen=True, slots=True)
class ThreadStream:
    """The parameters of a stream.

    begin    starts the RPC with its requests, and returns gRPC's call
    error    turns the exception of a call into the client's error
    timeout  seconds that each answer may take
    """

    begin: Callable[[Iterator[PredictRequest]], Any]
    error: Callable[[Exception], DigitsError]
    asked: Kind
    timeout: float

    def parts(self, line: Generator[Chunk, None, None]) -> Iterator[Predictions]:
        """The answers of the chunks in their order, as they come."""
        answers = Answers(self.asked, self.timeout)
        events: SimpleQueue[Any] = SimpleQueue()
        window = Semaphore(_limits.STREAM_REQUESTS_IN_FLIGHT)
        call = self.begin(self._requests(line, answers, events, window))
        start_new_thread(read_replies, (call, self.error, events.put))
        try:
            while not answers.ended:
                part = answers.take(self._event(events, answers))
                if part is not None:
                    yield part
                    window.release()
        finally:
            answers.ended = True
            window.release()  # wakes the thread that reads the source
            call.cancel()

    def _event(self, events: "SimpleQueue[Any]", answers: Answers) -> Any:
        due = answers.due
        try:
            return events.get(timeout=None if due is None else _shared.left(due))
        except Empty:
            late = answers.late()
        raise late

    def _requests(
        self, line: Generator[Chunk, None, None], answers: Answers, events: "SimpleQueue[Any]", window: Semaphore
    ) -> Iterator[PredictRequest]:
        """Runs on gRPC's thread for this stream, which would ignore an exception of the source."""
        try:
            with closing(line):
                for chunk in line:
                    window.acquire()
                    if answers.ended:
                        return
                    events.put(Sent(chunk, time.monotonic() + self.timeout))
                    yield chunk.request
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001  # it is raised where the answers are read
            answers.source_failure = error
