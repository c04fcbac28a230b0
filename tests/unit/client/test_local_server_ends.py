"""A local server for tests that does not answer, or does not end when it is told to."""

import signal
from collections.abc import Iterator

import pytest

from digits_client import InvalidInput
from digits_client.testing import FakeClient, LocalServer, _server


@pytest.fixture
def deaf() -> Iterator[None]:
    """Child processes ignore SIGTERM, as this one does until the end of the test."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("deaf")
def test_a_server_that_neither_answers_nor_ends_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "_command", lambda _: ["sleep", "600"])
    monkeypatch.setattr(_server, "START_SECONDS", 0.0)
    monkeypatch.setattr(_server, "STOP_SECONDS", 0.1)
    server = LocalServer()
    with pytest.raises(_server.CannotStart, match="did not answer within 0 seconds"):
        server.__enter__()
    assert server._process.returncode == -signal.SIGKILL


def test_a_server_that_ends_at_once_is_reported_with_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "_command", lambda _: ["sh", "-c", "echo the volume is missing >&2"])
    with pytest.raises(_server.CannotStart, match="ended before it answered: the volume is missing"):
        LocalServer().__enter__()


def test_a_fake_needs_ten_labels() -> None:
    with pytest.raises(InvalidInput, match="labels: expected ten names; got 2"):
        FakeClient(labels=["yes", "no"])
