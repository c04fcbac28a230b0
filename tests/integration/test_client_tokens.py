"""Tokens: every RPC of a client carries one, and a token leaves the machine in plaintext only if allowed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.client.both import Connect
from support.pictures.pixels import IMAGE
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits_client import Client, Coalescing, DigitsError, InvalidInput, Misused, Unauthenticated
from digits_client.cli import run

pytestmark = OVER_BOTH_TRANSPORTS

TOKEN = "a-token-of-a-caller-4dAq1"  # noqa: S105 - known to tests only


@pytest.fixture(scope="module")
def tokens(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(f"client-tokens-{transport}") / "tokens"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture(scope="module")
def server(repository: Path, transport: str, tokens: Path) -> Iterator[ServerProcess]:  # noqa: ARG001
    open_metrics = ["--http-open", "/metrics"]
    with ServerProcess("--repository", repository, "--tokens", tokens, *open_metrics) as running:
        yield running.wait_ready()


CALLS: dict[str, Callable[[Client], object]] = {
    "predict": lambda client: client.predict(IMAGE),
    "a file": lambda client: client.predict("docs/digit.png"),
    "predict_batch": lambda client: client.predict_batch(IMAGE[np.newaxis].repeat(3000, axis=0)),
    "predict_iter": lambda client: list(client.predict_iter([IMAGE, IMAGE])),
    "model": lambda client: client.model(),
}


@pytest.mark.parametrize("coalescing", [Coalescing(), None], ids=["coalescing", "alone"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_every_call_carries_the_token(
    connect: Connect, server: ServerProcess, call: Callable[[Client], object], coalescing: Coalescing | None
) -> None:
    assert call(connect(server.target, token=TOKEN, coalescing=coalescing))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("token", [None, TOKEN[:-1]], ids=["without", "another"])
def test_without_the_right_token_every_call_is_unauthenticated(
    connect: Connect, server: ServerProcess, call: Callable[[Client], object], token: str | None
) -> None:
    with pytest.raises(Unauthenticated, match="bearer token") as caught:
        call(connect(server.target, token=token))
    assert TOKEN[:-1] not in str(caught.value)


def test_health_needs_no_token(connect: Connect, server: ServerProcess) -> None:
    assert connect(server.target).health()


def test_an_unknown_token_is_tried_once(connect: Connect, server: ServerProcess) -> None:
    before = server.metric("digits_rejected_total", reason="unauthenticated")
    with pytest.raises(Unauthenticated):
        connect(server.target, token="no-such-token-here").predict(IMAGE)  # noqa: S106
    assert server.metric("digits_rejected_total", reason="unauthenticated") == before + 1


def test_a_function_is_asked_for_the_token_of_each_rpc(connect: Connect, server: ServerProcess) -> None:
    given = iter([f" {TOKEN}\n", "an-old-token-of-yesterday", TOKEN])
    client = connect(server.target, token=lambda: next(given))
    client.predict(IMAGE)
    with pytest.raises(Unauthenticated):
        client.predict(IMAGE)
    client.predict(IMAGE)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_function_that_fails_fails_its_call(
    connect: Connect, server: ServerProcess, call: Callable[[Client], object]
) -> None:
    def absent() -> str:
        raise OSError("the vault is closed")

    with pytest.raises(Unauthenticated, match="the vault is closed"):
        call(connect(server.target, token=absent))


@pytest.mark.parametrize("token", ["", " \n", "two words", "naïve", "a\nb"])
def test_an_invalid_token_is_refused_at_once(connect: Connect, server: ServerProcess, token: str) -> None:
    with pytest.raises(InvalidInput, match="token"):
        connect(server.target, token=token)


def test_the_command_line_reads_the_token_from_a_file(
    server: ServerProcess, tokens: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["info", "--target", server.target]
    assert run(command) == 1
    assert capsys.readouterr().err.startswith("digits: authorization: ")
    assert run([*command, "--token-file", str(tokens)]) == 0
    monkeypatch.setenv("DIGITS_TOKEN_FILE", str(tokens))
    assert run(command) == 0


def test_no_error_of_a_client_and_no_client_shows_its_token(server: ServerProcess) -> None:
    with Client(server.target, token=TOKEN) as client:
        assert TOKEN not in repr(vars(client))
        with pytest.raises(DigitsError) as caught:
            client.predict(IMAGE, model_version=99)
        assert TOKEN not in repr(caught.value)


def test_the_command_line_sends_no_token_to_another_machine_in_plaintext(
    tokens: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["info", "--target", "digits.invalid:50051", "--token-file", str(tokens)]) == 1
    assert "plaintext" in capsys.readouterr().err


def test_a_token_leaves_the_machine_in_plaintext_only_if_the_caller_insists() -> None:
    with pytest.raises(Misused, match="plaintext"):
        Client("digits.invalid:50051", token=TOKEN)
    Client("digits.invalid:50051", token=TOKEN, token_in_plaintext=True).close()
    Client("digits.invalid:50051", token=TOKEN, tls=True).close()
