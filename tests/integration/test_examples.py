"""The examples in docs/examples do what they say against a real server, as far as their tools can be had."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from google.protobuf import json_format
from support.examples import EXAMPLES, ROOT, SECONDS, bash, built_as_documented, node_program
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

DIGIT = ROOT / "docs" / "digit.png"


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node example with what its package.json names."""
    return node_program(EXAMPLES / "node" / "predict.js", tmp_path_factory.mktemp("node"))


def run(*command: str | Path, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DIGITS_PROTO": str(ROOT / "proto"), "PATH": path + os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)


def test_node_prints_the_digits(server: ServerProcess, node: Path) -> None:
    ended = run("node", node, server.target, DIGIT, DIGIT)
    assert ended.returncode == 0, ended.stderr
    *digits, version = ended.stdout.splitlines()
    assert [line.split()[:2] for line in digits] == [[str(DIGIT), "7"]] * 2
    assert version == "model version 1"


def test_node_tells_what_the_server_refuses(server: ServerProcess, node: Path) -> None:
    ended = run("node", node, server.target, ROOT / "README.md")
    assert ended.returncode == 1
    assert ended.stderr.startswith("INVALID_ARGUMENT: image_files[0]: not a valid PNG")


def test_node_pins_what_it_needs_exactly() -> None:
    wanted = json.loads((EXAMPLES / "node" / "package.json").read_text())["dependencies"]
    assert all(version.replace(".", "").isdigit() for version in wanted.values())


@pytest.fixture(scope="session", params=["Go", "Java"])
def documented(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    return built_as_documented(request.param, tmp_path_factory.mktemp(request.param))


def test_the_documented_commands_build_a_caller_that_prints_the_digits(
    server: ServerProcess, documented: tuple[str, dict[str, str]]
) -> None:
    call, environment = documented
    ended = bash(f"{call} docs/digit.png".replace("localhost:50051", server.target), environment)
    assert ended.returncode == 0, ended.stderr
    *digits, version = ended.stdout.splitlines()
    assert [line.split()[:2] for line in digits] == [["docs/digit.png", "7"]] * 2
    assert version == "model version 1"


def test_the_built_caller_tells_what_the_server_refuses(
    server: ServerProcess, documented: tuple[str, dict[str, str]]
) -> None:
    call, environment = documented
    ended = bash(call.replace("localhost:50051", server.target).replace("docs/digit.png", "README.md"), environment)
    assert ended.returncode == 1
    assert "image_files[0]: not a valid PNG" in ended.stderr


def test_grpcurl_is_handed_a_request_that_the_server_answers(
    server: ServerProcess, stub: PredictionServiceStub, tmp_path: Path
) -> None:
    """The tool itself is in no registry: a stand-in keeps what it is told, and the request is sent from here."""
    stand_in = tmp_path / "grpcurl"
    stand_in.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/request.json\n')
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    ended = run(EXAMPLES / "grpcurl" / "predict.sh", server.target, DIGIT, DIGIT, path=f"{tmp_path}{os.pathsep}")
    assert ended.returncode == 0, ended.stderr
    told = (tmp_path / "arguments").read_text().split()
    assert told == [*["-plaintext", "-max-time", "5", "-d", "@"], server.target, "digits.v1.PredictionService/Predict"]
    request = json_format.Parse((tmp_path / "request.json").read_text(), PredictRequest())
    assert list(stub.Predict(request, timeout=SECONDS).digits) == [7, 7]
