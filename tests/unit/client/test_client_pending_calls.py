"""RPCs that are sent once their token has arrived: every order of the token, the caller's wishes and the answer."""

import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from digits_client import ClientClosed, DeadlineExceeded
from digits_client._connection.bearing import PendingCall
from digits_client._connection.token_functions import TokenFunction

SECONDS = 30.0


class Asked:
    """One request for a token, which the test answers."""

    def __init__(self, take: Callable[[Any], None]) -> None:
        self.answer = take


class Tokens:
    """A token function that has not returned yet."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.forgotten: list[Asked] = []

    def ask(self, take: Callable[[Any], None]) -> Asked:
        self.asked.append(Asked(take))
        return self.asked[-1]

    def forget(self, asked: Asked) -> None:
        self.forgotten.append(asked)


class Sent:
    """An RPC that has been sent."""

    def __init__(self) -> None:
        self.cancelled = False
        self.callbacks: list[Callable[[Any], None]] = []

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    def done(self) -> bool:
        return False

    def result(self) -> str:
        return "the reply"

    def cancel(self) -> None:
        self.cancelled = True


class Made:
    """A pending call whose token and RPC are the test's."""

    def __init__(self, *, seconds: float = SECONDS, failure: Exception | None = None) -> None:
        self.tokens, self.sent, self.failure = Tokens(), Sent(), failure
        self.carried: list[str] = []
        self.call = PendingCall(cast("TokenFunction", self.tokens), self._send, time.monotonic() + seconds)

    def _send(self, token: str) -> Sent:
        if self.failure:
            raise self.failure
        self.carried.append(token)
        return self.sent

    def give_token(self) -> None:
        self.tokens.asked[0].answer("token")


@pytest.mark.parametrize("first", ["token", "callback"])
def test_callbacks_are_called_when_the_rpc_ends_whether_they_came_before_the_token_or_after_it(first: str) -> None:
    made, ended = Made(), list[Any]()
    if first == "token":
        made.give_token()
    made.call.add_done_callback(ended.append)
    if first == "callback":
        made.give_token()
    assert made.carried == ["token"]
    assert ended == []
    (end,) = made.sent.callbacks
    end(made.sent)
    assert ended == [made.call]
    assert not made.call.done()
    assert made.call.result() == "the reply"


def test_a_call_cancelled_after_its_token_cancels_its_rpc() -> None:
    made = Made()
    made.give_token()
    made.call.cancel()
    assert made.sent.cancelled
    assert made.tokens.forgotten == []


def test_an_rpc_that_is_sent_while_its_call_is_cancelled_is_cancelled_too() -> None:
    made = Made()
    made.tokens.asked[0].answer, take = lambda _: None, made.tokens.asked[0].answer  # it is already being sent
    made.call.cancel()
    take("token")
    assert made.sent.cancelled


def test_a_call_cancelled_before_its_token_fails_and_sends_nothing() -> None:
    made, ended = Made(), list[Any]()
    made.call.add_done_callback(ended.append)
    made.call.cancel()
    assert made.carried == []
    assert made.tokens.forgotten == made.tokens.asked
    assert ended == [made.call]
    assert made.call.done()
    with pytest.raises(ClientClosed, match="cancelled before its token came"):
        made.call.result()


def test_a_call_whose_rpc_cannot_be_sent_fails_with_the_reason() -> None:
    made, ended = Made(failure=ValueError("the channel is closed")), list[Any]()
    made.give_token()
    made.call.add_done_callback(ended.append)
    assert ended == [made.call]
    assert made.call.done()
    with pytest.raises(ValueError, match="the channel is closed"):
        made.call.result()


def test_a_call_whose_token_does_not_come_in_time_is_given_up() -> None:
    made = Made(seconds=0)
    assert made.call.done()
    with pytest.raises(DeadlineExceeded):
        made.call.result()
    assert made.tokens.forgotten == made.tokens.asked
