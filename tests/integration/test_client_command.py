"""`digits` on the command line, in a process of its own against a real server."""

import json
import os
import signal
import subprocess
from io import BytesIO
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.scripted import Gate, ScriptedServer, first_pixels, refusing
from support.servers import OVER_BOTH_TRANSPORTS, SCRIPTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client._limits import FILES_PER_RPC

pytestmark = OVER_BOTH_TRANSPORTS

Images = NDArray[np.uint8]
NOWHERE = "127.0.0.1:1"


def digits(*arguments: str | Path, target: str = NOWHERE, typed: bytes = b"") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `digits …`."""
    environment = {**os.environ, "DIGITS_TARGET": target}
    done = subprocess.run(
        [SCRIPTS / "digits", *arguments], capture_output=True, timeout=60, check=False, env=environment, input=typed
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def png(pixels: Images) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pictures(tmp_path: Path, test_images: Images) -> list[Path]:
    """seven.png, two.png and one.png: the first three test images."""
    paths = [tmp_path / name for name in ("seven.png", "two.png", "one.png")]
    for path, image in zip(paths, test_images, strict=False):
        path.write_bytes(png(image))
    return paths


def test_predict_prints_a_table_of_file_digit_and_confidence(server: ServerProcess, pictures: list[Path]) -> None:
    code, out, err = digits("predict", *pictures, target=server.target)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [row[:2] for row in rows] == [[str(path), digit] for path, digit in zip(pictures, "721", strict=True)]
    assert all(row[2].endswith("%") for row in rows)
    assert len({line.index("%") for line in out.splitlines()}) == 1


def test_predict_prints_json_lines_when_asked(server: ServerProcess, pictures: list[Path]) -> None:
    code, out, err = digits("predict", "--json", *pictures, target=server.target)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["file"] for row in rows] == [str(path) for path in pictures]
    assert [row["digit"] for row in rows] == [7, 2, 1]
    for row in rows:
        assert row.keys() == {"file", "digit", "confidence", "probabilities", "model_version"}
        assert row["model_version"] == 1
        assert len(row["probabilities"]) == 10
        assert row["confidence"] == max(row["probabilities"])


def test_a_file_that_cannot_be_read_is_one_sentence_and_exit_code_1_and_costs_no_other(
    server: ServerProcess, pictures: list[Path]
) -> None:
    code, out, err = digits("predict", pictures[0], "absent.png", pictures[1], target=server.target)
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()] == ["7", "2"]
    assert err == "digits: cannot read absent.png: No such file or directory\n"


def test_a_file_that_is_no_picture_is_one_sentence_and_exit_code_1_and_costs_no_other(
    server: ServerProcess, pictures: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "words.png"
    path.write_text("words")
    code, out, err = digits("predict", pictures[0], path, pictures[1], target=server.target)
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()] == ["7", "2"]
    assert err.startswith(f"digits: {path}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["a", "1", "P"])
def test_an_error_names_its_file_even_if_the_sentence_contains_that_name_by_chance(
    server: ServerProcess, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("words")
    code, out, err = digits("predict", name, target=server.target)
    assert (code, out) == (1, "")
    assert err.startswith(f"digits: {name}: ")


def test_a_group_of_files_that_times_out_costs_no_other(tmp_path: Path) -> None:
    gate = Gate()

    def answer(request: PredictRequest) -> PredictResponse:
        return gate(request) if b"slow" in request.image_files[0] else first_pixels(request)

    names = [tmp_path / f"{place:03}" for place in range(FILES_PER_RPC + 2)]
    for place, name in enumerate(names):
        name.write_bytes(b"slow" if place < FILES_PER_RPC else b"\x07")
    with ScriptedServer(answer=answer) as script:
        code, out, err = digits("predict", "--timeout", "1", *names, target=script.target)
        gate.open()
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines()] == [[str(name), "7"] for name in names[FILES_PER_RPC:]]
    assert [line.split(": ")[1] for line in err.splitlines()] == [str(name) for name in names[:FILES_PER_RPC]]
    assert len(script.requests) == 2


def test_a_pattern_stands_for_the_files_it_matches(server: ServerProcess, pictures: list[Path], tmp_path: Path) -> None:
    code, out, err = digits("predict", tmp_path / "*.png", target=server.target)
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [
        [str(path), digit] for path, digit in sorted(zip(pictures, "721", strict=True))
    ]


def test_a_pattern_that_matches_nothing_is_one_sentence_and_exit_code_1() -> None:
    assert digits("predict", "absent*.png") == (1, "", "digits: no file matches absent*.png\n")


def test_a_file_whose_name_is_a_pattern_is_that_file(server: ServerProcess, pictures: list[Path]) -> None:
    odd = pictures[0].rename(pictures[0].with_name("[7].png"))
    code, out, _ = digits("predict", odd, target=server.target)
    assert (code, out.split()[:2]) == (0, [str(odd), "7"])


def test_a_dash_is_one_picture_from_standard_input(server: ServerProcess, pictures: list[Path]) -> None:
    code, out, err = digits("predict", "-", target=server.target, typed=pictures[1].read_bytes())
    assert (code, err) == (0, "")
    assert out.split()[:2] == ["-", "2"]
    assert digits("predict", "-", "-")[:2] == (1, "")


def test_long_lists_tell_how_far_they_are_on_a_terminal_only(server: ServerProcess, pictures: list[Path]) -> None:
    names = [*pictures] * 50
    assert digits("predict", *names, target=server.target)[2] == ""
    terminal, shown = os.openpty()
    with subprocess.Popen(
        [SCRIPTS / "digits", "predict", "--target", server.target, *names], stdout=subprocess.PIPE, stderr=shown
    ) as running:
        os.close(shown)
        assert len(running.communicate(timeout=60)[0].splitlines()) == 150
        told = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert told.split("\r")[:2] == ["64 of 150 files", "128 of 150 files"]
    assert "150 of 150 files" in told


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


def test_bench_sends_every_digit_as_often_as_the_others_and_none_that_is_unsure(server: ServerProcess) -> None:
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
def test_nobody_there_is_one_sentence_and_exit_code_1(command: list[str]) -> None:
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


def test_output_that_nobody_reads_any_more_ends_quietly(server: ServerProcess, pictures: list[Path]) -> None:
    with subprocess.Popen(
        [SCRIPTS / "digits", "predict", "--json", "--target", server.target, *pictures * 700],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout
        assert running.stderr
        assert running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 1
