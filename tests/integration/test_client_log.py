"""The logger `digits_client`: it logs retries and reconnections, but never tokens or images."""

import logging

import grpc
import pytest
from support.client.both import Connect
from support.client.scripted import ScriptedServer, refusing
from support.pictures.pixels import IMAGE
from support.waiting import until

from digits_client import DigitsError

SECRET = "a-token-that-no-log-may-have"  # noqa: S105 - known to tests only


def test_a_connection_that_is_lost_and_found_again_is_logged(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "digits_client")
    with ScriptedServer() as first:
        client = connect(first.target)
        client.predict(IMAGE)
        until(lambda: f"connected to {first.target}" in caplog.messages, "the connection is told")
    until(lambda: any(f"connection to {first.target}" in line for line in caplog.messages), "its loss is told")
    with pytest.raises(DigitsError):
        client.predict(IMAGE, timeout=0.5)
    with ScriptedServer(address=first.target):
        client.wait_ready(30)
        until(lambda: f"connected to {first.target} again" in caplog.messages, "its return is told")


def test_an_rpc_of_a_batch_that_is_sent_again_is_logged(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "digits_client")
    with ScriptedServer(answer=refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, 1, pushback=5)) as script:
        connect(script.target).predict_batch([IMAGE])
    assert [line for line in caplog.messages if "sent again" in line] == [
        "the server is overloaded; this RPC of a batch is sent again in 0.010 seconds"
    ]


def test_an_rpc_that_finds_no_server_after_all_its_tries_is_logged(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "digits_client")
    with ScriptedServer(answer=refusing(grpc.StatusCode.UNAVAILABLE)) as script, pytest.raises(DigitsError):
        connect(script.target).predict(IMAGE)
    assert "an RPC failed with UNAVAILABLE after its retries" in caplog.messages


def test_no_token_no_metadata_and_no_image_reaches_the_log(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "digits_client")
    with ScriptedServer() as script:
        client = connect(script.target, token=lambda: SECRET, metadata={"x-tenant": SECRET})
        client.predict(IMAGE)
        client.predict_batch([IMAGE, SECRET.encode()])
        list(client.predict_stream([IMAGE]))
        script.answer = refusing(grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(DigitsError):
            client.predict(IMAGE)
    assert caplog.messages
    assert SECRET not in caplog.text
    assert "\\x07" not in caplog.text


def test_nothing_is_logged_above_the_level_info(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """A library's warnings would go to the standard error of programs that do not configure logging."""
    with ScriptedServer(answer=refusing(grpc.StatusCode.UNAVAILABLE)) as script, pytest.raises(DigitsError):
        connect(script.target).predict(IMAGE)
    assert not [record for record in caplog.records if record.name == "digits_client"]
