"""The limits of HTTP connections: their number, which one is closed for others, and the time of each step."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from support.calls.rpc import DEADLINE
from support.network.certificates import Authority, Folder
from support.servers.process import ServerProcess
from support.waiting import until
from support.wire.raw_http import ask, connect, get, read_answer, request

RESERVED = 16
INFER = "/v2/models/digits/infer"
IMAGE = json.dumps({"inputs": [{"name": "images", "shape": [1, 784], "datatype": "UINT8", "data": [0] * 784}]}).encode()
UNFINISHED = f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n{{".encode()
PROBES = ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready")


def closed(server: ServerProcess, reason: str) -> float:
    return server.metric("digits_http_connections_closed_total", reason=reason)


def descriptors(server: ServerProcess) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_one_connection_may_be_all_there_is(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--max-connections", "1") as server:
        server.wait_ready()
        for _ in range(5):
            assert ask(server, request("POST", INFER, body=IMAGE)).status == 200
        with connect(server):
            assert ask(server, request("POST", INFER, body=IMAGE)).status == 200


def test_as_many_requests_as_connections_are_answered_at_once_and_one_more_is_429(repository: Path) -> None:
    """All requests are complete and wait for the model, so none of the connections can be closed for others."""
    limit = 3
    flags = ["--max-connections", str(limit), "--http-timeout", "60"]
    with (
        ServerProcess("--repository", repository, *flags) as server,
        ThreadPoolExecutor(limit) as pool,
        ExitStack() as held,
    ):
        server.wait_ready()
        body = json.dumps(
            {"inputs": [{"name": "images", "shape": [1300, 784], "datatype": "UINT8", "data": [7] * 784 * 1300}]}
        ).encode()
        callers = [held.enter_context(connect(server)) for _ in range(limit)]
        list(pool.map(lambda caller: caller.sendall(request("POST", INFER, body=body)), callers))
        assert [read_answer(caller).status for caller in callers] == [200] * limit


def test_probes_and_scrapers_are_answered_though_every_place_is_taken(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--max-connections", "4") as server, ExitStack() as held:
        server.wait_ready()
        for _ in range(4):
            held.enter_context(connect(server)).sendall(UNFINISHED)
        for path in PROBES * 10:
            assert get(server, path).status == 200


def test_the_unfinished_request_that_began_first_is_closed_with_a_reason(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--max-connections", "2") as server, ExitStack() as held:
        server.wait_ready()
        first, second = held.enter_context(connect(server)), held.enter_context(connect(server))
        first.sendall(UNFINISHED)
        until(lambda: server.metric("process_open_fds") > 0, "the first has been accepted")
        second.sendall(UNFINISHED)
        until(lambda: server.metric("process_open_fds") > 0, "the second has been accepted")
        until(lambda: ask(server, request("POST", INFER, body=IMAGE)).status == 200, "a good caller is answered")
        answer = read_answer(first)
        assert answer.status == 503
        assert "took too long" in json.loads(answer.body)["error"]
        assert closed(server, "pushed_out") >= 1
        server.wait_for_log("closed HTTP connections (pushed_out")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_idle_connections_take_no_more_descriptors_than_there_are_places(
    repository: Path, tmp_path: Path, tls: bool
) -> None:
    folder = Folder(tmp_path / "files")
    authority = Authority()
    folder.put(authority.sign(), authority)
    flags = ["--http-tls", *folder.flags] if tls else []
    with (
        ServerProcess("--repository", repository, "--max-connections", "8", *flags) as server,
        ExitStack() as held,
    ):
        server.wait_ready()
        before = descriptors(server)
        for _ in range(200):
            held.enter_context(connect(server))
        until(lambda: descriptors(server) <= before + 8 + RESERVED, "the rest has been closed")
        assert server.process.poll() is None


def test_a_caller_that_does_not_read_its_answers_is_cut_off_for_others(repository: Path) -> None:
    """It requests a picture again and again; while the server sends it, the connection is closed for others."""
    with ServerProcess("--repository", repository, "--max-connections", "4") as server, ExitStack() as held:
        server.wait_ready()
        asked = b"GET /model/1/report/history.png HTTP/1.1\r\nhost: localhost\r\n\r\n" * 500
        for _ in range(20):
            caller = held.enter_context(connect(server))
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            caller.settimeout(0.2)
            with suppress(OSError):  # it is no longer read
                caller.sendall(asked)
        for _ in range(20):
            until(lambda: ask(server, request("POST", INFER, body=IMAGE)).status == 200, "a good caller is answered")
        assert closed(server, "pushed_out") >= 1


def test_unfinished_bodies_are_bounded_together_and_the_first_gets_a_reason(repository: Path) -> None:
    flags = ["--max-waiting-bytes", "300000"]
    with ServerProcess("--repository", repository, *flags) as server, ExitStack() as held:
        server.wait_ready()
        callers = []
        for number in range(4):
            callers.append(held.enter_context(connect(server)))
            callers[-1].sendall(UNFINISHED.replace(b"100000", b"100001") + b" " * 90_000)
            if number < 3:
                assert get(server, "/healthz").status == 200
        answer = read_answer(callers[0])
        assert answer.status == 429
        assert "max_waiting_bytes" in json.loads(answer.body)["error"]
        callers[3].sendall(b" " * (100_000 - 90_000))
        assert read_answer(callers[3]).status == 400
        assert ask(server, request("POST", INFER, body=IMAGE)).status == 200
        assert server.metric("digits_rejected_total", reason="overloaded") == 1


def test_a_caller_has_a_time_limit_for_its_whole_request_even_if_it_trickles(repository: Path) -> None:
    """A byte now and then does not extend the time.

    The route does not read the body, so only the connection can end it.
    """
    with ServerProcess("--repository", repository, "--http-timeout", "0.5") as server:
        server.wait_ready()
        with connect(server, seconds=2 * DEADLINE) as caller:
            caller.sendall(UNFINISHED.replace(INFER.encode(), b"/predict"))
            answer = read_answer(caller)
            assert answer.status in (415, 504)
            with pytest.raises((OSError, HTTPException)):
                read_answer(caller)
