"""The state of one PredictStream: requests sent, answers due, and its end."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from digits_client import _shared
from digits_client._answers.results import Predictions
from digits_client._coalescing.calls import Kind
from digits_client._errors import DeadlineExceeded, DigitsError, ServerError, caused
from digits_client._inputs.chunks import Chunk, located


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that goes out now, and when its answer is due."""

    chunk: Chunk
    due: float


@dataclass(frozen=True, slots=True)
class End:
    """No reply will follow. `failure` is the client's error that ended the RPC; None: the server closed it."""

    failure: DigitsError | None = None


class Answers:
    """Processes the events of a stream in order: requests that are sent, replies, and the end."""

    def __init__(self, asked: Kind, timeout: float) -> None:
        self._asked = asked
        self._timeout = timeout
        self._unanswered: deque[Sent] = deque()
        self.ended = False
        self.source_failure: BaseException | None = None

    @property
    def due(self) -> float | None:
        """When the next answer is due; None: no answer is due."""
        return self._unanswered[0].due if self._unanswered else None

    def take(self, event: Any) -> Predictions | None:
        """The answers that the event brings, if it is a reply. Raises the DigitsError that ends the stream."""
        if isinstance(event, Sent):
            self._unanswered.append(event)
            return None
        if isinstance(event, End):
            self.ended = True
            if event.failure or self._unanswered:
                raise self._located(event.failure or ServerError("the server ended the stream before all answers"))
            if self.source_failure:
                raise self.source_failure
            return None
        if not self._unanswered:
            raise ServerError("the server sent an answer without a request")
        try:
            answers = _shared.predictions(event, self._unanswered[0].chunk.count, self._asked)
        except ServerError as error:
            raise self._located(error)  # noqa: B904  # it is the same error
        self._unanswered.popleft()
        return answers

    def late(self) -> DigitsError:
        """The error of an answer that did not come in time."""
        late = DeadlineExceeded(f"no answer within {self._timeout:g} seconds after its request")
        return self._located(caused(late, TimeoutError(f"{len(self._unanswered)} requests are not answered")))

    def _located(self, error: DigitsError) -> DigitsError:
        return located(error, self._unanswered[0].chunk) if self._unanswered else error


def read_replies(call: Any, error: Callable[[Exception], DigitsError], put: Callable[[Any], None]) -> None:
    """Passes on each reply of the RPC, then its end. Runs in a separate thread, because it waits for each reply."""
    try:
        for reply in call:
            put(reply)
    except Exception as failure:  # noqa: BLE001  # it is raised where the answers are taken
        put(End(error(failure)))
    else:
        put(End())
