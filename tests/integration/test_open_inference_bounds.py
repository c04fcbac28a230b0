"""The bounds of the Open Inference Protocol over HTTP: overload, deadlines, callers who leave, a server that drains."""

import json
import socket
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw
from support.calls.open_inference import INFER, post
from support.machine.processes import children
from support.servers.process import ServerProcess
from support.waiting import until

SECONDS = 60.0


def pictures(count: int, side: int) -> bytes:
    """A bar on a page of `side` × `side`, `count` times: at 4,000, a tenth of a second and more to decode each."""
    page = Image.new("L", (side, side), 255)
    ImageDraw.Draw(page).line((side // 2, side // 5, side // 2, side * 4 // 5), fill=0, width=side // 12)
    file = BytesIO()
    page.save(file, "PNG")
    data = [b64encode(file.getvalue()).decode()] * count
    tensor = {"name": "image_files", "datatype": "BYTES", "shape": [count], "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def begin(server: ServerProcess, body: bytes, length: int | None = None) -> socket.socket:
    """Sends a request with this body, of which `length` bytes are announced; the answer is not read."""
    host, port = server.http.removeprefix("http://").split(":")
    caller = socket.create_connection((host, int(port)), SECONDS)
    head = f"POST {INFER} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length or len(body)}\r\n\r\n"
    caller.sendall(head.encode() + body)
    return caller


def status_line(caller: socket.socket) -> bytes:
    return caller.makefile("rb").readline()


def answered(server: ServerProcess, status: str) -> float:
    return server.metric("digits_http_requests_total", route="/v2/models/{name}/infer", status=status)


def test_an_overloaded_server_says_429_and_when_to_come_back(repository: Path) -> None:
    with (
        ServerProcess("--repository", repository, "--max-waiting-files", "10") as server,
        ThreadPoolExecutor(6) as pool,
    ):
        server.wait_ready()
        answers = list(pool.map(lambda body: post(server.http + INFER, body), [pictures(10, side=4000)] * 6))
        assert {status for status, _, _ in answers} == {200, 429}
        _, headers, answer = next(answer for answer in answers if answer[0] == 429)
        assert int(headers["retry-after"]) >= 1
        assert "max_waiting_files" in json.loads(answer)["error"]
        assert post(server.http + INFER, pictures(1, side=50))[0] == 200


def test_an_answer_that_is_not_ready_in_time_is_504(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--http-timeout", "0.2") as server:
        server.wait_ready()
        status, _, answer = post(server.http + INFER, pictures(16, side=4000))
        assert status == 504
        assert "http_timeout" in json.loads(answer)["error"]
        until(lambda: post(server.http + INFER, pictures(1, side=50))[0] == 200, "a small picture is answered in time")


def test_a_body_that_does_not_come_in_time_is_504_and_ends_the_connection(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--http-timeout", "0.2") as server:
        server.wait_ready()
        with begin(server, b"{", length=1000) as caller, caller.makefile("rb") as answer:
            everything = answer.read()  # until the server ends the connection
        assert everything.startswith(b"HTTP/1.1 504 ")
        assert b"http_timeout" in everything
        assert server.metric("digits_rejected_total", reason="deadline") == 1


def test_a_caller_that_leaves_cancels_its_work(repository: Path) -> None:
    with ServerProcess("--repository", repository) as server:
        server.wait_ready()
        with begin(server, pictures(16, side=4000)):
            until(lambda: server.metric("process_cpu_seconds_total") > 0, "the server is alive")
        until(lambda: answered(server, "499") == 1, "its request has ended")
        assert server.metric("digits_rejected_total", reason="cancelled") == 1
        assert server.metric("digits_predictions_total") == 0
        assert post(server.http + INFER, pictures(1, side=50))[0] == 200


def test_a_caller_that_leaves_in_the_middle_of_its_body_is_forgotten(repository: Path) -> None:
    with ServerProcess("--repository", repository) as server:
        server.wait_ready()
        with begin(server, b"{", length=1000):
            pass
        until(lambda: answered(server, "499") == 1, "its request has ended")


def test_a_draining_server_is_not_ready_and_answers_calls_in_flight(repository: Path) -> None:
    body = pictures(1, side=50)
    with ServerProcess("--repository", repository) as server:
        server.wait_ready()
        with begin(server, body[:-1], length=len(body)) as caller:
            assert server.get("/healthz")[0] == 200  # the server has seen the earlier caller
            server.terminate()
            server.wait_for_log("draining")
            assert server.get("/v2/health/ready") == (503, '{"ready":false}')
            assert server.get("/v2/models/digits/ready")[0] == 503
            assert server.get("/v2/health/live")[0] == 200
            until(lambda: post(server.http + INFER, body)[0] == 503, "nobody else is let in")
            caller.sendall(body[-1:])
            assert status_line(caller).startswith(b"HTTP/1.1 200 ")
        assert server.wait() == 0


def test_large_bodies_of_numbers_beyond_float32_end_no_worker(repository: Path) -> None:
    body = json.dumps({"inputs": [{"name": "images", "shape": [890, 784], "datatype": "FP32", "data": []}]})
    body = body.replace("[]", "[" + ",".join(["1e308"] * (890 * 784)) + "]")
    with ServerProcess("--repository", repository, "--workers", "2") as server, ThreadPoolExecutor(6) as pool:
        server.wait_ready()
        workers = children(server.process.pid)
        answers = list(pool.map(lambda _: post(server.http + INFER, body.encode()), range(6)))
        assert {status for status, _, _ in answers} <= {400, 429}
        assert 400 in {status for status, _, _ in answers}
        assert children(server.process.pid) == workers
