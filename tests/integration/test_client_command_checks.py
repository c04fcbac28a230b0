"""`digits bench`, `info` and `health` on the command line, and what every command has in common."""

import json
import signal
import subprocess

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from support.client.command import digits
from support.client.scripted import ScriptedServer, refusing
from support.servers.process import SCRIPTS, ServerProcess
from support.waiting import until


def test_bench_tells_rates_percentiles_and_errors(server: ServerProcess) -> None:
    closed = digits("bench", "--seconds", "0.3", "--in-flight", "8", "--json", target=server.target)
    opened = digits("bench", "--seconds", "0.3", "--rate", "100", "--images", "3", "--json", target=server.target)
    for code, out, err in (closed, opened):
        assert (code, err) == (0, "")
        figures = json.loads(out)
        assert figures["errors"] == {}
        assert figures["calls"] > 0
        latency = figures["latency_milliseconds"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"] <= latency["max"]
    assert json.loads(opened[1])["calls"] == 30
    text = digits("bench", "--seconds", "0.1", "--no-coalescing", target=server.target)
    assert text[0] == 0
    assert [line.split()[0] for line in text[1].splitlines()] == list(json.loads(closed[1]))


def test_bench_sends_every_digit_equally_often_and_only_clear_ones(server: ServerProcess) -> None:
    def counted() -> NDArray[np.float64]:
        by_digit = [server.metric("digits_predictions_total", digit=str(digit)) for digit in range(10)]
        confidence = [server.metric(f"digits_prediction_confidence_{name}") for name in ("sum", "count")]
        return np.array([*by_digit, *confidence])

    for images in ("1", "3"):
        before = counted()
        assert digits("bench", "--seconds", "0.3", "--images", images, target=server.target)[0] == 0
        *by_digit, confidence, answered = (counted() - before).tolist()
        assert answered > 30
        assert max(by_digit) - min(by_digit) <= 1, by_digit
        assert confidence / answered > 0.95


def test_bench_with_no_answer_is_exit_code_1() -> None:
    with ScriptedServer(answer=refusing(grpc.StatusCode.INTERNAL)) as script:
        code, out, err = digits("bench", "--seconds", "0.1", target=script.target)
    assert (code, out) == (1, "")
    assert err.startswith("digits: INTERNAL")


def test_info_tells_the_model_its_runtime_and_every_version(server: ServerProcess) -> None:
    code, out, err = digits("info", target=server.target)
    assert (code, err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines["model"] == "digits, version 1, mlp"
    assert lines["runtime"] == "litert"
    assert lines["accuracy"].endswith("on 10,000 test images")
    assert lines["version"] == "1  SERVING, current"


def test_info_prints_the_whole_answer_as_one_json_object_when_asked(server: ServerProcess) -> None:
    code, out, err = digits("info", "--json", target=server.target)
    assert (code, err, out.count("\n")) == (0, "", 1)
    answer = json.loads(out)
    assert answer["runtime"] == "litert"
    assert answer["manifest"]["modelName"] == "digits"
    assert [(item["version"], item["state"]) for item in answer["versions"]] == [("1", "SERVING")]


def test_health_is_0_when_serving(server: ServerProcess) -> None:
    assert digits("health", "--target", server.target) == (0, "serving\n", "")


def test_health_is_1_when_not_serving() -> None:
    with ScriptedServer(serving=False) as script:
        assert digits("health", target=script.target) == (1, "not serving\n", "")


@pytest.mark.parametrize("command", [["health"], ["info"], ["predict", __file__]], ids=lambda command: command[0])
def test_a_missing_server_is_one_sentence_and_exit_code_1(command: list[str]) -> None:
    code, out, err = digits(*command, "--timeout", "1")
    assert (code, out) == (1, "")
    assert err.startswith("digits: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["guess"], ["predict"], ["health", "--timeout", "soon"], ["health", "--json"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    code, out, err = digits(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: digits")


def test_help_tells_the_commands_and_the_exit_codes() -> None:
    code, out, _ = digits("--help")
    assert code == 0
    for word in ("predict", "info", "health", "exit codes"):
        assert word in out.lower()


def test_an_interrupted_command_is_exit_code_130_without_a_traceback() -> None:
    with (
        ScriptedServer() as script,
        subprocess.Popen(
            [SCRIPTS / "digits", "bench", "--seconds", "60", "--target", script.target],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running,
    ):
        until(lambda: len(script.requests) > 10, "it is under way")
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=30) == (b"", b"")
        assert running.returncode == 130
