"""The server starts, or says in one sentence why it cannot; it stops without losing a call."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from support.calls.rpc import DEADLINE, refusal, status_of
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess, run_server
from support.waiting import until
from support.wire.frames import PREFACE
from support.wire.raw_http import connect, read_answer, request

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

HELD_SANDBOX = Path(__file__).parents[1] / "support/faults/held_sandbox"
PREDICT = {"grpc_service": "digits.v1.PredictionService", "grpc_method": "Predict"}


def slow_request() -> PredictRequest:
    """Keeps the server busy for a second or so: large pictures to decode."""
    picture = Image.new("L", (4000, 4000), 255)
    ImageDraw.Draw(picture).line((2000, 900, 2000, 3100), fill=0, width=300)
    file = BytesIO()
    picture.save(file, "PNG")
    return PredictRequest(image_files=[file.getvalue()] * 16)


def in_flight(server: ServerProcess) -> float:
    started = server.metric("grpc_server_started_total", **PREDICT)
    return started - server.metric("grpc_server_handled_total", **PREDICT)


def new_caller_gets(server: ServerProcess) -> str:
    with server.channel() as channel:
        call = PredictionServiceStub(channel).Predict.future(PredictRequest(images=bytes(784)), timeout=DEADLINE)
        error = call.exception(timeout=DEADLINE)
        return status_of(error)[0] if error else "OK"


@OVER_BOTH_TRANSPORTS
def test_a_loading_server_answers_no_grpc_handshake_and_then_answers_waiting_callers(
    repository: Path, tmp_path: Path
) -> None:
    """A client of several servers considers a server with an open connection ready, and sends it calls."""
    os.mkfifo(gate := tmp_path / "gate")
    held = {"PYTHONPATH": str(HELD_SANDBOX), "HELD_SANDBOX": str(gate)}
    with ServerProcess("--repository", repository, environment=held) as server, server.channel() as channel:
        host, _, port = server.target.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=0.2) as early:
            predict = PredictionServiceStub(channel).Predict  # it waits: gRPC itself gives up a connection after 20 s
            call = predict.future(PredictRequest(images=bytes(784)), timeout=DEADLINE, wait_for_ready=True)
            early.sendall(PREFACE)
            with pytest.raises(TimeoutError):
                early.recv(1)
            assert server.get("/readyz")[0] == 503
            with gate.open("r+b", buffering=0):  # from now on it loads
                assert len(call.result(timeout=DEADLINE).digits) == 1
            early.settimeout(DEADLINE)
            assert early.recv(1)


@OVER_BOTH_TRANSPORTS
def test_sigterm_answers_calls_in_flight_and_exits_0_and_meanwhile_refuses_new_callers_as_unavailable(
    repository: Path,
) -> None:
    """It is not ready from the beginning of the stop."""
    with ServerProcess("--repository", repository) as server, server.channel() as channel:
        server.wait_ready()
        call = PredictionServiceStub(channel).Predict.future(slow_request(), timeout=DEADLINE)
        until(lambda: in_flight(server) == 1, "the call is in flight")
        server.terminate()
        server.wait_for_log("draining")
        assert server.get("/readyz") == (503, "not ready\n")
        assert server.get("/healthz")[0] == 200
        until(lambda: new_caller_gets(server) == "UNAVAILABLE", "it has stopped listening")
        assert len(call.result(timeout=DEADLINE).digits) == 16
        assert server.wait() == 0


@OVER_BOTH_TRANSPORTS
def test_calls_that_come_during_a_stop_are_answered_as_they_come(repository: Path) -> None:
    answered = 0
    ends: list[str] = []
    with ServerProcess("--repository", repository) as server, server.channel() as channel:
        server.wait_ready()
        stub = PredictionServiceStub(channel)
        stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)
        server.terminate()
        server.wait_for_log("draining")
        while not ends:
            call = stub.Predict.future(PredictRequest(images=bytes(784)), timeout=DEADLINE)
            if error := call.exception(timeout=DEADLINE):
                ends.append(status_of(error)[0])
            else:
                answered += 1
        assert server.wait() == 0
    assert answered > 3  # one caller's, each sent once the one before was answered
    assert ends == ["UNAVAILABLE"]


def test_an_upload_longer_than_the_grace_period_gets_503(repository: Path) -> None:
    unfinished = request("POST", "/v2/models/digits/infer", "content-length: 1000", "expect: 100-continue")
    with ServerProcess("--repository", repository, "--shutdown-grace", "0.2") as server:
        server.wait_ready()
        with connect(server) as caller:
            caller.sendall(unfinished)
            assert caller.recv(100).startswith(b"HTTP/1.1 100 ")  # it waits for the body
            server.terminate()
            answer = read_answer(caller)
        assert answer.status == 503
        assert b"the server has stopped" in answer.body
        assert server.wait() == 0


@OVER_BOTH_TRANSPORTS
def test_a_stop_cuts_off_no_caller_in_the_middle_of_a_call(repository: Path) -> None:
    with ServerProcess("--repository", repository) as server, server.channel() as channel:
        server.wait_ready()
        stub = PredictionServiceStub(channel)

        def call_until_refused(_: int) -> str:
            while True:
                call = stub.Predict.future(PredictRequest(images=bytes(784)), timeout=DEADLINE)
                if error := call.exception(timeout=DEADLINE):
                    return status_of(error)[0]

        with ThreadPoolExecutor(12) as callers:
            ends = callers.map(call_until_refused, range(12))
            until(lambda: server.metric("digits_predictions_total") > 50, "the callers are under way")
            server.terminate()
            assert server.wait() == 0
            assert set(ends) == {"UNAVAILABLE"}


@OVER_BOTH_TRANSPORTS
def test_an_idle_stream_does_not_hold_up_the_end(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--shutdown-grace", "3000") as server, server.channel() as channel:
        server.wait_ready()
        never = threading.Event()

        def one_then_silence() -> Iterator[PredictRequest]:
            yield PredictRequest(images=bytes(784))
            never.wait(DEADLINE)

        replies = PredictionServiceStub(channel).PredictStream(one_then_silence(), timeout=DEADLINE)
        assert len(next(replies).digits) == 1
        server.terminate()
        assert refusal(lambda: next(replies))[0] == "UNAVAILABLE"
        never.set()
        assert server.wait() == 0


@OVER_BOTH_TRANSPORTS
def test_calls_beyond_the_grace_period_are_cut_and_the_exit_is_still_clean(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--shutdown-grace", "0") as server, server.channel() as channel:
        server.wait_ready()
        call = PredictionServiceStub(channel).Predict.future(slow_request(), timeout=DEADLINE)
        until(lambda: in_flight(server) == 1, "the call is in flight")
        server.terminate()
        assert server.wait() == 0
        assert status_of(call.exception(timeout=DEADLINE))[0] in ("UNAVAILABLE", "CANCELLED")


def test_a_second_sigterm_ends_the_server_at_once(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--shutdown-grace", "3000") as server, server.channel() as channel:
        server.wait_ready()
        call = PredictionServiceStub(channel).Predict.future(slow_request(), timeout=DEADLINE)
        until(lambda: in_flight(server) == 1, "the call is in flight")
        server.terminate()
        server.wait_for_log("draining")
        server.terminate()
        assert server.wait() == -signal.SIGTERM
        assert status_of(call.exception(timeout=DEADLINE))[0] == "UNAVAILABLE"


@OVER_BOTH_TRANSPORTS
def test_an_occupied_grpc_port_is_one_clear_sentence_and_exit_1(repository: Path) -> None:
    occupied(repository, "--grpc-port")


def test_an_occupied_http_port_is_one_clear_sentence_and_exit_1(repository: Path) -> None:
    """No transport has a part in this one."""
    occupied(repository, "--http-port")


def occupied(repository: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_server("--repository", repository, flag, port)
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}: is the port taken?" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_missing_repository_is_one_clear_sentence_and_exit_1(tmp_path: Path) -> None:
    ended = run_server("--repository", tmp_path / "nowhere")
    assert ended.returncode == 1
    assert "no model repository" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_an_empty_repository_is_one_clear_sentence_and_exit_1(tmp_path: Path) -> None:
    tmp_path.joinpath("digits").mkdir()
    ended = run_server("--repository", tmp_path)
    assert ended.returncode == 1
    assert "no version is published" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--max-batch-size", "0"], "--max-batch-size"),
        (["--grpc-port", "70000"], "--grpc-port"),
        (["--runtime", "onnx"], "litert"),
        (["--wat"], "--wat"),
    ],
)
def test_an_unknown_or_impossible_flag_is_exit_2_and_names_itself(flags: list[str], words: str) -> None:
    ended = run_server(*flags)
    assert ended.returncode == 2
    assert words in ended.stderr


def test_settings_come_from_the_environment_and_flags_win(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        occupied = {"DIGITS_HTTP_PORT": str(taken.getsockname()[1]), "DIGITS_REPOSITORY": str(repository)}
        with ServerProcess(environment=occupied) as server:  # its --http-port 0 wins
            server.wait_ready()
