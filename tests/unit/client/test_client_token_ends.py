"""The ends of token functions that no server takes part in: no thread to run one, a closed client, a closed loop."""

import asyncio
import inspect
from typing import Any

import pytest

from digits_client import ClientClosed, DigitsError, Unauthenticated
from digits_client._connection import token_functions
from digits_client._connection.token_functions import TokenFunction

SECONDS = 30.0


def test_a_token_asked_of_a_closed_client_is_refused_at_once() -> None:
    tokens = TokenFunction(lambda: "token")
    tokens.close()
    with pytest.raises(ClientClosed):
        tokens.wait(SECONDS)
    assert not tokens.busy


def test_without_a_thread_for_the_function_the_call_fails_and_the_next_one_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = TokenFunction(lambda: "token")

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(token_functions, "start_new_thread", refuse)
        for _ in range(20):  # more than the most threads
            answers: list[Any] = []
            tokens.ask(answers.append)
            assert not tokens.busy
            with pytest.raises(Unauthenticated, match="can't start new thread"):
                token_functions.token_of(*answers)
    assert not tokens.busy
    assert tokens.wait(SECONDS) == "token"


def test_a_failure_of_any_kind_in_the_function_reaches_its_caller() -> None:
    def leave() -> str:
        raise SystemExit("the vault is closed")

    with pytest.raises(Unauthenticated, match="the vault is closed") as caught:
        TokenFunction(leave).wait(SECONDS)
    assert isinstance(caught.value.__cause__, SystemExit)


async def test_an_async_function_that_cancels_itself_fails_its_call_and_does_not_cancel_the_caller() -> None:
    async def cancelled() -> str:
        raise asyncio.CancelledError

    with pytest.raises(Unauthenticated, match="it was cancelled"):
        await TokenFunction(cancelled).wait_on_loop(SECONDS)


def test_an_answer_for_a_loop_that_has_closed_is_dropped() -> None:
    loop = asyncio.new_event_loop()
    future: asyncio.Future[Any] = loop.create_future()
    loop.close()

    async def late() -> str:
        return "token"

    answer = late()
    token_functions._set(loop, future, answer)
    assert (
        inspect.getcoroutinestate(answer) == inspect.CORO_CLOSED
    )  # else Python would warn of a coroutine that nobody awaited
    token_functions._set(loop, future, "token")
    assert not future.done()


def test_answers_come_once() -> None:
    answers: list[Any] = []
    asked = token_functions.Ask(answers.append)
    asked.answer("token")
    asked.answer(DigitsError("late"))
    assert answers == ["token"]
