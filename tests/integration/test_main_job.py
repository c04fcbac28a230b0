"""`make demo`: trains if no version is published, serves, classifies the test set, reports the result, exits."""

import os
import runpy
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from support.servers.process import ServerProcess

from digits_training.data import read
from digits_training.repository import manifest

ROOT = Path(__file__).parents[2]
JOB = ROOT / "deploy/local/main_job.py"
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained for one epoch; what the gate has published is served whatever its accuracy.

    The second time, the network that is there is asked for; another test runs the job again without a name.
    """
    monkeypatch.setenv("DIGITS_EPOCHS", "1")
    monkeypatch.setenv("DIGITS_MIN_ACCURACY", "0.8")
    first = run(tmp_path)
    assert first.returncode == 0, first.stderr
    assert "epoch 1/1" in first.stdout
    assert "Classified the 10,000 test images: accuracy 0.8" in first.stdout
    assert "The metrics count 10,000 predictions." in first.stdout
    assert "make run NETWORK=cnn" in first.stdout
    assert versions(tmp_path) == ["1"]

    second = run(tmp_path, "--network", "mlp")
    assert second.returncode == 0, second.stderr
    assert "not training again" in second.stdout
    assert "The metrics count 10,000 predictions." in second.stdout
    assert versions(tmp_path) == ["1"]


def test_the_last_lines_can_be_pasted_and_the_address_of_the_page_comes_first(repository: Path) -> None:
    ports = {"DIGITS_GRPC_PORT": free_port(), "DIGITS_HTTP_PORT": free_port()}
    command: list[str | Path] = [sys.executable, JOB, "--repository", repository]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **ports}) as job:
        try:
            assert job.stdout
            lines = list(takewhile(lambda line: not line.startswith("Serving until"), job.stdout))
            told = lines[next(number for number, line in enumerate(lines) if "http://" in line) :]
            with urllib.request.urlopen(told[0].split()[3], timeout=SECONDS) as page:
                assert b"Draw a digit" in page.read()
            pasted = [line for line in told if line.startswith("    ")]
            assert all("docs/digit.png" in line and str(ROOT) not in line for line in pasted)
            for line in pasted:
                done = subprocess.run(
                    ["/bin/bash", "-c", line], capture_output=True, text=True, timeout=SECONDS, check=True, cwd=ROOT
                )
                assert " 7 " in f" {done.stdout}"
            assert len(pasted) == 2
        finally:
            job.terminate()


def test_a_network_asked_for_is_trained_unless_the_newest_version_is_one(
    scored_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first images of MNIST only, so that training takes seconds; what it publishes need not be good.

    Only the first half of the job: the test above serves what it has trained.
    """
    mnist = read(None)
    monkeypatch.setenv("DIGITS_DATA", str(tmp_path / "few.npz"))
    monkeypatch.setenv("DIGITS_FORCE", "1")
    monkeypatch.setenv("DIGITS_EPOCHS", "1")
    arrays = {f"x_{name}": part.images[:2000] for name, part in (("train", mnist.train), ("test", mnist.test))}
    arrays |= {f"y_{name}": part.labels[:2000] for name, part in (("train", mnist.train), ("test", mnist.test))}
    np.savez(tmp_path / "few.npz", allow_pickle=False, **arrays)
    models = Path(shutil.copytree(scored_repository, tmp_path / "models"))
    published = versions(models)
    assert manifest.read(models / "digits" / published[-1]).training.network == "cnn"
    train = runpy.run_path(str(JOB))["train"]

    train(models, "cnn")
    assert versions(models) == published
    train(models, "mlp")
    (trained,) = set(versions(models)) - set(published)
    assert manifest.read(models / "digits" / trained).training.network == "mlp"
    train(models, "mlp")
    assert len(versions(models)) == len(published) + 1


def test_a_port_of_another_server_ends_the_main_job_at_once_with_a_sentence(repository: Path, tmp_path: Path) -> None:
    with ServerProcess("--repository", repository) as other:
        job = run(tmp_path, grpc_port=other.target.rpartition(":")[2])
    assert job.returncode == 1
    assert "cannot be used (Address already in use): end the program that has it, or set DIGITS_GRPC_PORT" in job.stderr
    assert versions(tmp_path) == []


def test_behind_envoy_the_main_job_does_the_same(repository: Path) -> None:
    job = run(repository, "--behind-envoy")
    assert job.returncode == 0, job.stderr
    assert "envoy: grpc on " in job.stderr
    assert "not training again" in job.stdout
    assert "The metrics count 10,000 predictions." in job.stdout


def test_an_occupied_port_of_envoy_ends_the_main_job_at_once_with_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        job = run(tmp_path, "--behind-envoy", envoy_port=str(taken.getsockname()[1]))
    assert job.returncode == 1
    assert (
        "cannot be used (Address already in use): end the program that has it, or set grpc in DIGITS_ENVOY"
        in job.stderr
    )
    assert "Traceback" not in job.stderr
    assert versions(tmp_path) == []


def test_a_server_that_ran_before_is_not_taken_for_the_jobs_own(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = runpy.run_path(str(JOB))
    monkeypatch.setitem(job["metric"].__globals__, "HTTP_PORT", int(server.http.rpartition(":")[2]))
    job["require_ours"](time.time() - 3600)
    with pytest.raises(job["JobFailed"], match="another server answers"):
        job["require_ours"](time.time() + 3600)
