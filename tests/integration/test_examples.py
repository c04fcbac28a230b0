"""The examples in docs/examples work against a real server, as far as their tools are available."""

import json
import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from google.protobuf import json_format
from support.network.certificates import Authority, Folder
from support.programs.examples import EXAMPLES, ROOT, SECONDS, bash, built_as_documented, node_program
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

DIGIT = ROOT / "docs" / "digit.png"
Built = Callable[[str], tuple[str, dict[str, str]]]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node example with what its package.json names."""
    return node_program(EXAMPLES / "node" / "predict.js", tmp_path_factory.mktemp("node"))


TOKEN = "a-token-of-the-examples"  # noqa: S105  # of a server of this test


@dataclass(frozen=True)
class Secured:
    """A server with mutual TLS and a token, and the files of its callers."""

    target: str
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """All variables that the examples read."""
        names = {"ROOT_CERTIFICATES": "ca.crt", "CERTIFICATE_CHAIN": "own.crt", "PRIVATE_KEY": "own.key"}
        files = names | {"TOKEN_FILE": "token"}
        return {f"DIGITS_{name}": str(self.folder / file) for name, file in files.items()}


@pytest.fixture(scope="module")
def secured(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder, authority = Folder(tmp_path_factory.mktemp("tls") / "files"), Authority()
    folder.put(authority.sign("localhost"), authority)
    own = authority.sign()
    key = load_pem_private_key(own.key, None)
    (folder.path / "own.crt").write_bytes(own.certificate)
    (folder.path / "own.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder.path / "other.crt").write_bytes(Authority().certificate)
    (folder.path / "token").write_text(f"{TOKEN}\n")
    flags = [*folder.mutual_flags, "--tokens", folder.path / "token", "--transport", "grpcio"]
    with ServerProcess("--repository", repository, *flags) as running:
        yield Secured(running.wait_ready().target.replace("127.0.0.1", "localhost"), folder.path)


Call = Callable[..., subprocess.CompletedProcess[str]]
"""Runs an example: its target, a file, and variables of its environment."""


@pytest.fixture(params=["Node", "Go", "Java"])
def call(request: pytest.FixtureRequest) -> Call:
    environment = dict(os.environ)
    if request.param == "Node":
        program = f"node {request.getfixturevalue('node')} localhost:50051 docs/digit.png"
        environment["DIGITS_PROTO"] = str(ROOT / "proto")
    else:
        program, environment = request.getfixturevalue("every_built")(request.param)

    def call(target: str, file: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        command = program.replace("localhost:50051", target).replace("docs/digit.png", file)
        return bash(command, environment | variables)

    return call


def test_each_example_calls_over_mutual_tls_with_a_token(secured: Secured, call: Call) -> None:
    ended = call(secured.target, "docs/digit.png", secured.variables)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split()[:2] == ["docs/digit.png", "7"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"TOKEN_FILE": ""}, r"(?i)unauthenticated"),
        ({"ROOT_CERTIFICATES": "other.crt"}, r"(?i)certif|issuer"),
        ({"ROOT_CERTIFICATES": "absent.crt"}, r"cannot read .*absent\.crt"),
        ({"ROOT_CERTIFICATES": "", "CERTIFICATE_CHAIN": "", "PRIVATE_KEY": ""}, "a token is sent over TLS only"),
    ],
    ids=["no token", "another authority", "no such file", "no TLS"],
)
def test_each_example_explains_an_error_in_a_sentence(
    secured: Secured, call: Call, changes: dict[str, str], sentence: str
) -> None:
    changed = {f"DIGITS_{name}": str(secured.folder / file) if file else "" for name, file in changes.items()}
    ended = call(secured.target, "docs/digit.png", secured.variables | changed)
    assert ended.returncode == 1
    assert re.search(sentence, ended.stderr), ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_each_example_names_an_image_that_is_not_there(secured: Secured, call: Call) -> None:
    ended = call(secured.target, "absent.png", secured.variables)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(r"cannot read .*absent\.png: .*no such file.*\n", ended.stderr), ended.stderr


def run(*command: str | Path, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DIGITS_PROTO": str(ROOT / "proto"), "PATH": path + os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)


@OVER_BOTH_TRANSPORTS
def test_node_prints_the_digits(server: ServerProcess, node: Path) -> None:
    ended = run("node", node, server.target, DIGIT, DIGIT)
    assert ended.returncode == 0, ended.stderr
    *digits, version = ended.stdout.splitlines()
    assert [line.split()[:2] for line in digits] == [[str(DIGIT), "7"]] * 2
    assert version == "model version 1"


@OVER_BOTH_TRANSPORTS
def test_node_reports_a_refusal_of_the_server(server: ServerProcess, node: Path) -> None:
    ended = run("node", node, server.target, ROOT / "README.md")
    assert ended.returncode == 1
    assert ended.stderr.startswith("INVALID_ARGUMENT: image_files[0]: not a valid PNG")


def test_node_pins_what_it_needs_exactly() -> None:
    wanted = json.loads((EXAMPLES / "node" / "package.json").read_text())["dependencies"]
    assert all(version.replace(".", "").isdigit() for version in wanted.values())


@pytest.fixture(scope="session")
def every_built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Builds an example once: the command that calls, and its environment."""

    @cache
    def build(language: str) -> tuple[str, dict[str, str]]:
        return built_as_documented(language, tmp_path_factory.mktemp(language))

    return build


@pytest.fixture(scope="session", params=["Go", "Java"])
def documented(request: pytest.FixtureRequest, every_built: Built) -> tuple[str, dict[str, str]]:
    return every_built(request.param)


@OVER_BOTH_TRANSPORTS
def test_the_documented_commands_build_a_caller_that_prints_the_digits(
    server: ServerProcess, documented: tuple[str, dict[str, str]]
) -> None:
    call, environment = documented
    ended = bash(f"{call} docs/digit.png".replace("localhost:50051", server.target), environment)
    assert ended.returncode == 0, ended.stderr
    *digits, version = ended.stdout.splitlines()
    assert [line.split()[:2] for line in digits] == [["docs/digit.png", "7"]] * 2
    assert version == "model version 1"


@OVER_BOTH_TRANSPORTS
def test_the_built_caller_reports_a_refusal_of_the_server(
    server: ServerProcess, documented: tuple[str, dict[str, str]]
) -> None:
    call, environment = documented
    ended = bash(call.replace("localhost:50051", server.target).replace("docs/digit.png", "README.md"), environment)
    assert ended.returncode == 1
    assert "image_files[0]: not a valid PNG" in ended.stderr


@OVER_BOTH_TRANSPORTS
def test_grpcurl_is_handed_a_request_that_the_server_answers(
    server: ServerProcess, stub: PredictionServiceStub, tmp_path: Path
) -> None:
    """No registry has the tool itself: a replacement records its arguments, and the request is sent from here."""
    stand_in = tmp_path / "grpcurl"
    stand_in.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/request.json\n')
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    ended = run(EXAMPLES / "grpcurl" / "predict.sh", server.target, DIGIT, DIGIT, path=f"{tmp_path}{os.pathsep}")
    assert ended.returncode == 0, ended.stderr
    told = (tmp_path / "arguments").read_text().split()
    assert told == [*["-plaintext", "-max-time", "5", "-d", "@"], server.target, "digits.v1.PredictionService/Predict"]
    request = json_format.Parse((tmp_path / "request.json").read_text(), PredictRequest())
    assert list(stub.Predict(request, timeout=SECONDS).digits) == [7, 7]
