"""`make demo`: train if nothing is published, serve, classify the test set, account for it, exit."""

import os
import socket
import subprocess
import sys
from pathlib import Path

JOB = Path(__file__).parents[2] / "deploy/local/main_job.py"
SECONDS = 250


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def run(
    repository: Path, *flags: str, grpc_port: str | None = None, envoy_port: str | None = None
) -> subprocess.CompletedProcess[str]:
    envoy = " ".join(f"{name}={free_port()}" for name in ("web", "metrics", "admin"))
    envoy += f" grpc={envoy_port or free_port()}"
    ports = {"DIGITS_GRPC_PORT": grpc_port or free_port(), "DIGITS_HTTP_PORT": free_port(), "DIGITS_ENVOY_PORTS": envoy}
    return subprocess.run(
        [sys.executable, JOB, "--repository", repository, "--exit", *flags],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, **ports},
    )


def versions(repository: Path) -> list[str]:
    return sorted(path.name for path in repository.glob("digits/[0-9]*"))


def test_the_main_job_trains_serves_classifies_and_accounts_and_the_second_time_reuses_the_model(
    tmp_path: Path,
) -> None:
    first = run(tmp_path)
    assert first.returncode == 0, first.stderr
    assert "epoch 10/10" in first.stdout
    assert "Classified the 10,000 test images: accuracy 0.9" in first.stdout
    assert "The metrics count 10,000 predictions." in first.stdout
    assert versions(tmp_path) == ["1"]

    second = run(tmp_path)
    assert second.returncode == 0, second.stderr
    assert "not training again" in second.stdout
    assert "The metrics count 10,000 predictions." in second.stdout
    assert versions(tmp_path) == ["1"]


def test_an_occupied_port_ends_the_main_job_with_a_sentence(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        job = run(repository, grpc_port=str(taken.getsockname()[1]))
    assert job.returncode == 1
    assert "is the port taken?" in job.stderr
    assert "Traceback" not in job.stderr


def test_behind_envoy_the_main_job_does_the_same(repository: Path) -> None:
    job = run(repository, "--behind-envoy")
    assert job.returncode == 0, job.stderr
    assert "envoy: grpc on " in job.stderr
    assert "The metrics count 10,000 predictions." in job.stdout


def test_an_occupied_port_of_envoy_ends_the_main_job_with_a_sentence(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        job = run(repository, "--behind-envoy", envoy_port=str(taken.getsockname()[1]))
    assert job.returncode == 1
    assert "Address already in use" in job.stderr
    assert "or Envoy in front of it" in job.stderr
    assert "Traceback" not in job.stderr
