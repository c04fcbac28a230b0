"""Clients with fixed answers: they check their inputs as the real ones do, but call no server."""

from collections.abc import Sequence
from typing import Any, ClassVar

from digits.v1.prediction_pb2 import PredictRequest
from digits_client._async import AsyncClient
from digits_client._calls.caller import Caller
from digits_client._errors import ClientClosed
from digits_client._sync import Client
from digits_client.testing._fixed_answers import Answer, FixedAnswers, TaskStub, ThreadStub

NOBODY = "nobody.invalid:1"
"""A target that can never exist (RFC 2606)."""

DIGITS = tuple("0123456789")


class Fake(Caller):
    """The common base of both fakes: they get answers, which replace their connection."""

    _stand_in: ClassVar[type[ThreadStub] | type[TaskStub]]

    def __init__(
        self, answers: Answer | Sequence[Answer] = 7, *, model_version: int = 1, labels: Sequence[str] = DIGITS
    ) -> None:
        """Takes the answers.

        answers        used for one image after the other, then again from the first: a digit, a digit and its
                       confidence (a tuple), or a DigitsError, which fails the RPC of its image
        model_version  the version that answers; any other one is NotFound
        labels         the ten names of the digits
        """
        super().__init__(NOBODY, coalescing=None, retries=None)
        self._fixed = FixedAnswers(answers, model_version, labels)
        self._stub = self._stand_in(self._fixed)

    @property
    def requests(self) -> Sequence[PredictRequest]:
        """The requests for predictions that a server would have received so far."""
        return tuple(self._fixed.requests)

    def _connection(self) -> Any:
        if self._closed:
            raise ClientClosed
        return self._stub


class FakeClient(Fake, Client):
    """A `Client` with fixed answers, which needs neither a server nor a network.

    Only the connection is missing: wrong images are refused, files are read, batches are split, and a closed client
    raises ClientClosed. The content of pictures does not matter, and calls are not retried.
    """

    _stand_in = ThreadStub


class FakeAsyncClient(Fake, AsyncClient):
    """An `AsyncClient` with fixed answers; see `FakeClient`."""

    _stand_in = TaskStub
