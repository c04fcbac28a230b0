"""The clients with fixed answers behave like a client, but without a connection."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_client import (
    AsyncClient,
    Client,
    ClientClosed,
    DigitsError,
    FileNotFound,
    InvalidInput,
    NotFound,
    Overloaded,
    Unavailable,
)
from digits_client._connection.channel import Endpoint
from digits_client.testing import FakeAsyncClient, FakeClient

IMAGE = np.zeros((28, 28), np.uint8)
MANY = np.zeros((5, 28, 28), np.uint8)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection fails the test."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("a fake client has opened a channel")

    monkeypatch.setattr(Endpoint, "channel", refuse)
    monkeypatch.setattr(Endpoint, "async_channel", refuse)


def surface(client: type) -> dict[str, list[str]]:
    """The public methods of a client, inherited ones too, and their parameters."""
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_")
    }


def results(client: FakeClient) -> dict[str, Any]:
    """The result of every public method."""
    client.wait_ready()
    found = {
        "wait_ready": None,
        "health": client.health(),
        "model": client.model().version,
        "predict": client.predict(IMAGE, labels=True).label,
        "predict_batch": client.predict_batch(MANY, probabilities=True).digits.tolist(),
        "predict_iter": [each.digit for each in client.predict_iter(list(MANY), batch_size=2)],
        "predict_stream": [each.digit for each in client.predict_stream(iter(MANY), labels=True)],
        "stats": client.stats().rpcs_sent,
        "close": None,
    }
    client.close()
    return found


async def awaited(client: FakeAsyncClient) -> dict[str, Any]:
    await client.wait_ready()
    found = {
        "wait_ready": None,
        "health": await client.health(),
        "model": (await client.model()).version,
        "predict": (await client.predict(IMAGE, labels=True)).label,
        "predict_batch": (await client.predict_batch(MANY, probabilities=True)).digits.tolist(),
        "predict_iter": [each.digit async for each in client.predict_iter(list(MANY), batch_size=2)],
        "predict_stream": [each.digit async for each in client.predict_stream(list(MANY), labels=True)],
        "stats": client.stats().rpcs_sent,
        "close": None,
    }
    await client.close()
    return found


async def test_every_public_method_of_the_clients_works_without_a_connection() -> None:
    wanted = {
        "wait_ready": None,
        "health": True,
        "model": 4,
        "predict": "1",
        "predict_batch": [2, 3, 1, 2, 3],
        "predict_iter": [1, 2, 3, 1, 2],
        "predict_stream": [3, 1, 2, 3, 1],
        "stats": 0,
        "close": None,
    }
    assert results(FakeClient([1, 2, 3], model_version=4)) == wanted
    assert await awaited(FakeAsyncClient([1, 2, 3], model_version=4)) == wanted
    for fake, real in ((FakeClient, Client), (FakeAsyncClient, AsyncClient)):
        assert surface(fake) == surface(real)
        assert surface(real).keys() == wanted.keys()


@pytest.mark.parametrize("error", [Unavailable("away"), Overloaded("busy", 0.5)])
async def test_an_error_among_the_answers_fails_its_rpc_without_a_retry(error: DigitsError) -> None:
    client, other = FakeClient([7, error]), FakeAsyncClient([7, error])
    for _ in range(2):
        assert client.predict(IMAGE).digit == (await other.predict(IMAGE)).digit == 7
        with pytest.raises(type(error), match=str(error)):
            client.predict(IMAGE)
        with pytest.raises(type(error), match=str(error)):
            await other.predict(IMAGE)
    with pytest.raises(type(error)) as failed:
        client.predict_batch(MANY)
    assert failed.value.failed == range(5)
    assert failed.value is not error
    assert len(client.requests) == 5


def test_a_fake_refuses_the_same_inputs_as_the_client(tmp_path: Path) -> None:
    with FakeClient((7, 0.25)) as client:
        answer = client.predict(IMAGE, probabilities=True)
        assert (answer.digit, answer.confidence) == (7, 0.25)
        assert answer.probabilities is not None
        assert answer.probabilities.sum() == pytest.approx(1)
        with pytest.raises(InvalidInput, match="28 × 28"):
            client.predict(MANY)
        with pytest.raises(FileNotFound):
            client.predict(tmp_path / "missing.png")
        with pytest.raises(NotFound, match="model_version: 3"):
            client.predict(IMAGE, model_version=3)
    with pytest.raises(ClientClosed):
        client.predict(IMAGE)


@pytest.mark.parametrize("answers", [[], 10, [-1], True, "7", (7, 1.5), [None], [1, (2, 3, 4)]])
def test_an_invalid_answer_is_refused(answers: Any) -> None:
    with pytest.raises(InvalidInput, match="answers: expected"):
        FakeClient(answers)


def test_a_stream_is_answered_while_its_source_goes_on() -> None:
    def endless() -> Iterator[np.ndarray[Any, Any]]:
        while True:
            yield IMAGE

    with FakeClient([1, 2]) as client:
        answers = client.predict_stream(endless())
        assert [next(answers).digit for _ in range(4)] == [1, 2, 1, 2]
        answers.close()
