"""Requests and replies, without any I/O: the code that both clients share."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from digits.v1.prediction_pb2 import DESCRIPTOR, PredictRequest, PredictResponse
from digits_client import _limits
from digits_client._answers.results import Prediction, Predictions, concatenated
from digits_client._coalescing.calls import Kind
from digits_client._connection.log import log
from digits_client._errors import (
    DeadlineExceeded,
    DigitsError,
    InvalidInput,
    Overloaded,
    ServerError,
    Unavailable,
    caused,
)
from digits_client._settings import DEFAULT_RETRIES, Retries

SERVICE: str = DESCRIPTOR.services_by_name["PredictionService"].full_name
NOT_SERVING = "the server says that it does not serve predictions now"
MOST_VERSION = 2**63 - 1  # int64 on the wire
_CURRENT = tuple(Kind(0, probabilities, unlike) for unlike in (False, True) for probabilities in (False, True))


def nothing() -> None:
    """The callback if there are no metrics."""


def seconds(timeout: float | None) -> float:
    """A timeout that gRPC can count with; None and infinity are no limit. InvalidInput for NaN and negatives."""
    if timeout is None:
        return _limits.LONGEST_SECONDS
    try:
        valid = timeout >= 0  # false for NaN
    except TypeError:
        valid = False
    if not valid:
        raise InvalidInput(f"timeout: expected seconds, 0 or more, or None for no limit; got {timeout}")
    return min(timeout, _limits.LONGEST_SECONDS)


def deadline_of_each_rpc(timeout: float | None, default: float) -> Callable[[], float]:
    """When the next RPC of a batch must be answered: `timeout` applies to all RPCs together, the default to each."""
    if timeout is None:
        return lambda: time.monotonic() + default
    end = time.monotonic() + seconds(timeout)
    return lambda: end


def left(deadline: float) -> float:
    """Seconds until a deadline, 0 when it has passed."""
    return max(0.0, deadline - time.monotonic())


def retry_delay(
    error: DigitsError, refusals: int, deadline: float, retries: Retries | None = DEFAULT_RETRIES
) -> float | None:
    """Seconds until an overloaded server is called again; None for any other error, or if the deadline comes first.

    It is the delay the server asks for, but at least twice as long after each of the `refusals` before this one.
    """
    if not isinstance(error, Overloaded) or retries is None or retries.attempts == 1:
        return None
    backoff = min(retries.first_backoff_seconds * 2.0 ** min(refusals, 30), retries.most_backoff_seconds)
    delay = max(error.retry_after_seconds or 0.0, backoff)
    if delay >= left(deadline):
        return None
    log.debug("the server is overloaded; this RPC of a batch is sent again in %.3f seconds", delay)
    return delay


def task_is_cancelled() -> bool:
    """Whether the current task was cancelled. Before Python 3.11 a task cannot know: False then."""
    if sys.version_info < (3, 11):
        return False
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_unresolved(error: DigitsError) -> bool:
    """Whether the target's name had no address. gRPC says this only in the text of its message."""
    return isinstance(error, Unavailable) and "resolving" in str(error)


def too_late(method: object, standing: TimeoutError, timeout: float | None = None) -> DigitsError:
    """The error of a call to `method` that had no answer in time; its cause says where the call was waiting."""
    limit = "the timeout" if timeout is None else f"{timeout:g} seconds"
    hint = ": the token function has not returned" if getattr(method, "lacks_token", False) else ""
    return caused(DeadlineExceeded(f"no answer within {limit}{hint}"), standing)


def kind(model_version: int, *, probabilities: bool, unlike: bool) -> Kind:
    """The options of a request, without its images. InvalidInput if the version is impossible."""
    if model_version == 0:
        return _CURRENT[bool(probabilities) + 2 * bool(unlike)]
    if not 0 < model_version <= MOST_VERSION:
        raise InvalidInput(f"model_version: expected 0, the current one, or a positive integer; got {model_version}")
    return Kind(model_version, bool(probabilities), bool(unlike))


def request(images: Sequence[bytes], asked: Kind, *, are_files: bool = False) -> PredictRequest:
    """One request for several images of one form."""
    joined = b"" if are_files else images[0] if len(images) == 1 else b"".join(images)
    return PredictRequest(
        images=joined,
        image_files=images if are_files else (),
        model_version=asked.model_version,
        include_probabilities=asked.probabilities,
        include_unlike=asked.unlike,
    )


def predictions(reply: PredictResponse, count: int, asked: Kind) -> Predictions:
    """The answers for the `count` images of a request. ServerError if there are more or fewer."""
    _check(reply, count, asked)
    return Predictions(
        digits=np.fromiter(reply.digits, np.uint8, count),
        confidences=np.fromiter(reply.confidences, np.float32, count),
        model_versions=np.full(count, reply.model_version, np.int64),
        probabilities=_rows(reply, count) if asked.probabilities else None,
        unlike=np.fromiter(reply.unlike, np.float32, count) if asked.unlike else None,
    )


def answers(reply: PredictResponse, count: int, asked: Kind) -> list[Prediction]:
    """The same, as one object each. ServerError if there are more or fewer."""
    _check(reply, count, asked)
    columns = reply.digits, reply.confidences, repeat(reply.model_version, count)
    if not (asked.probabilities or asked.unlike):
        return list(map(Prediction, *columns))
    rows = _rows(reply, count) if asked.probabilities else repeat(None)
    return list(map(Prediction, *columns, rows, repeat(None), reply.unlike if asked.unlike else repeat(None)))


def explained(error: DigitsError, answered: Sequence[Predictions], asked: Kind, *, labels: bool = False) -> DigitsError:
    """The error that ended a batch, with the answers before it."""
    error.answered = concatenated(answered, probabilities=asked.probabilities, unlike=asked.unlike, labels=labels)
    return error


def _check(reply: PredictResponse, count: int, asked: Kind) -> None:
    wanted = count * 10 if asked.probabilities else len(reply.probabilities)
    if not (len(reply.digits) == len(reply.confidences) == count and len(reply.probabilities) == wanted):
        raise ServerError(f"expected answers for {count} images, got {len(reply.digits)}")
    if asked.unlike and len(reply.unlike) != count:
        raise ServerError(
            f"expected {count} scores of unlike, got {len(reply.unlike)}: is the server older than this client?"
        )


def _rows(reply: PredictResponse, count: int) -> NDArray[np.float32]:
    return np.fromiter(reply.probabilities, np.float32, count * 10).reshape(count, 10)
