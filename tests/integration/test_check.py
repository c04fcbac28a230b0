"""`digits-server --check`: says for each part whether a server would start, and leaves no process behind."""

import socket
import subprocess
from pathlib import Path

import pytest
from support.network.certificates import Authority, Folder
from support.network.ports import free_port
from support.servers.process import SCRIPTS, START_SECONDS


def check(*flags: str | Path) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code; and for each part ok or failed, and its message."""
    ended = subprocess.run(
        [SCRIPTS / "digits-server", "--check", *flags],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    lines = [line.split(maxsplit=2) for line in ended.stdout.splitlines()]
    return ended.returncode, {name.rstrip(":"): (verdict, said) for verdict, name, said in lines}


def free_ports() -> list[str]:
    return ["--grpc-port", str(free_port()), "--http-port", str(free_port())]


def test_a_server_that_would_start_is_reported_part_by_part(repository: Path, tmp_path: Path) -> None:
    authority, folder = Authority(), Folder(tmp_path)
    folder.put(authority.sign(), authority)
    tmp_path.joinpath("tokens").write_text("a-token-of-a-caller-4dAq1\n")
    ports = free_ports()
    tls: list[str | Path] = [*folder.mutual_flags, "--tokens", tmp_path / "tokens"]
    code, said = check("--repository", repository, *ports, *tls)
    assert code == 0
    assert list(said) == ["settings", "transport", "certificate", "tokens", "traces", "ports", "model"]
    assert {verdict for verdict, _ in said.values()} == {"ok"}
    assert said["model"][1].startswith("version 1 would serve")
    assert "callers need one" in said["certificate"][1]
    assert said["tokens"][1] == "1 in --tokens"
    for port in (ports[1], ports[3]):
        socket.create_server(("127.0.0.1", int(port))).close()  # no server listens there


def test_every_fault_is_reported_and_hides_no_other(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        faulty: list[str | Path] = [
            "--repository",
            tmp_path / "nowhere",
            "--grpc-port",
            port,
            "--tokens",
            tmp_path / "none",
            "--http-tls",
        ]
        code, said = check(*faulty)
    assert code == 1
    assert {name for name, (verdict, _) in said.items() if verdict == "failed"} == {
        "certificate",
        "tokens",
        "ports",
        "model",
    }
    assert "is the port taken?" in said["ports"][1]
    assert "no model repository" in said["model"][1]


def test_a_model_that_cannot_serve_is_reported_with_the_reason(repository: Path, tmp_path: Path) -> None:
    version = tmp_path / "digits" / "1"
    version.mkdir(parents=True)
    for file in (repository / "digits" / "1").iterdir():
        if file.is_file():
            version.joinpath(file.name).write_bytes(file.read_bytes())
    with version.joinpath("model.tflite").open("ab") as model:
        model.write(b"x")
    code, said = check("--repository", tmp_path, *free_ports())
    assert code == 1
    assert said["model"][0] == "failed"
    assert "version 1" in said["model"][1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - nothing listens
def test_a_server_that_is_open_to_a_network_is_reported(repository: Path, host: str) -> None:
    code, said = check("--repository", repository, "--host", host, *free_ports())
    assert code == 0
    assert "neither TLS nor a list of tokens" in said["settings"][1]
