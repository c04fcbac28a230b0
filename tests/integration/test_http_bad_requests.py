"""HTTP requests that no client library sends: each gets a status, and none causes a traceback in the log."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers.process import ServerProcess
from support.wire.raw_http import ask, connect, get, read_answer, request

INFER = "/v2/models/digits/infer"
LONG_NUMBER = "9" * 5_000
"""More digits than Python converts to a number."""


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[ServerProcess]:
    with ServerProcess("--repository", repository, "--access-log") as running:
        yield running.wait_ready()
        assert "Traceback" not in "".join(running.stderr)
        assert running.process.poll() is None


@pytest.mark.parametrize(
    "target",
    [
        f"/model/{LONG_NUMBER}/report/history.png",
        "/model/-1/report/history.png",
        "/model/1%0A/report/history.png",
        f"/v2/models/digits/versions/{LONG_NUMBER}",
        f"/v2/models/digits/versions/{LONG_NUMBER}/ready",
        "/model/%D9%A1/report/history.png",
    ],
)
def test_a_version_that_is_not_a_number_of_ours_is_not_found(server: ServerProcess, target: str) -> None:
    assert get(server, target).status == 404


@pytest.mark.parametrize(
    "accept",
    [
        'text/plain; version="0.0.4"',
        "text/plain; version=abc",
        "text/plain; version=",
        "text/plain; version=1.0.0.0.0",
        "text/plain; version=1..2",
        f"text/plain; version={LONG_NUMBER}",
        "application/openmetrics-text; version=abc",
        'application/openmetrics-text; version="1.0.0"; charset=utf-8',
        "application/openmetrics-text; version=9999.0.0; escaping=nonsense",
        "application/openmetrics-text; version=1.0.0; escaping=dots",
        "text/plain; escaping=;;;=,,,;",
    ],
)
def test_the_metrics_are_answered_in_any_requested_format(server: ServerProcess, accept: str) -> None:
    answer = get(server, "/metrics", f"accept: {accept}")
    assert answer.status == 200
    assert b"digits_http_requests_total" in answer.body


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n",
        b"-1\r\n",
        b"5\r\nabc",
        b"FFFFFFFFFFFFFFFFFFFFFFFFF\r\n",
        b"3\r\nabcdef\r\n",
        b"1\r\na\r\n0\r\nno colon\r\n\r\n",
    ],
)
@pytest.mark.parametrize("target", [INFER, "/predict", "/healthz"])
def test_a_malformed_chunk_ends_its_connection_only(server: ServerProcess, target: str, chunks: bytes) -> None:
    head = request("POST", target, "transfer-encoding: chunked", "content-type: image/png")
    with connect(server) as caller:
        caller.sendall(head + chunks)
        caller.shutdown(socket.SHUT_WR)
        assert read_answer(caller).status in (400, 404, 405)
    assert get(server, "/healthz").status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: \x00\r\n\r\n",
        b"\x16\x03\x01" + bytes(500),
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a:b\r\n" * 200 + b"\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 70_000,
    ],
)
def test_data_that_is_not_http_is_refused_with_400(server: ServerProcess, head: bytes) -> None:
    assert ask(server, head).status == 400


def test_a_body_of_very_many_chunks_is_refused_and_one_of_some_is_read(server: ServerProcess) -> None:
    tensor = {"name": "images", "shape": [1, 784], "datatype": "UINT8", "data": [0] * 784}
    body = json.dumps({"inputs": [tensor]}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    head = request("POST", INFER, "transfer-encoding: chunked")
    assert ask(server, head + chunks).status == 200
    assert ask(server, head + b"1\r\n \r\n" * 5_000).status == 400


def test_requests_sent_before_their_answers_are_answered_in_order(server: ServerProcess) -> None:
    tensor = {"name": "images", "shape": [1, 784], "datatype": "UINT8", "data": [0] * 784}
    body = json.dumps({"inputs": [tensor]}).encode()
    one = f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    other = b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with connect(server) as caller:
        caller.sendall((one + other) * 50)
        caller.shutdown(socket.SHUT_WR)
        with caller.makefile("rb") as answers:
            everything = answers.read()
    assert everything.count(b"HTTP/1.1 200 ") == 100
    assert everything.count(b'{"live":true}') == 50
    assert everything.count(b'"digits"') == 100  # the model's name, and the output's


def test_a_caller_that_closes_its_side_gets_its_answer(server: ServerProcess) -> None:
    tensor = {"name": "images", "shape": [1, 784], "datatype": "UINT8", "data": [0] * 784}
    sent = request("POST", INFER, body=json.dumps({"inputs": [tensor]}).encode())
    with connect(server) as caller:
        caller.sendall(sent)
        caller.shutdown(socket.SHUT_WR)
        assert read_answer(caller).status == 200
        assert caller.recv(1) == b""


@pytest.mark.parametrize("rest", [b"", b"GET /heal"], ids=["whole requests", "half a request"])
def test_a_caller_that_closes_its_side_gets_the_answers_to_all_its_whole_requests(
    server: ServerProcess, rest: bytes
) -> None:
    """The second and the third request wait for their turns when the end of input arrives."""
    asked = b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with connect(server) as caller:
        caller.sendall(asked * 3 + rest)
        caller.shutdown(socket.SHUT_WR)
        with caller.makefile("rb") as answers:
            everything = answers.read()
    assert everything.count(b"HTTP/1.1 200 ") == 3


def test_numbers_beyond_float32_are_invalid(server: ServerProcess) -> None:
    tensor = {"name": "images", "shape": [1, 784], "datatype": "FP32", "data": [1e308] * 784}
    answer = ask(server, request("POST", INFER, body=json.dumps({"inputs": [tensor]}).encode()))
    assert answer.status == 400
    assert b"grey levels from 0 to 255" in answer.body
