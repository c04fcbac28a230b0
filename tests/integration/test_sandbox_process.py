"""A model that harms its process harms only the sandbox, and is rejected."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.calls.rpc import DEADLINE
from support.models import hostile_models
from support.models.repositories import copy_version, replace_file
from support.servers.process import SCRIPTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import GetModelRequest, ModelVersionStatus, PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_server.errors import ModelRejected
from digits_server.runtimes.loading import ModelContent
from digits_server.sandbox import confinement
from digits_server.sandbox.golden_images import GoldenImages
from digits_server.sandbox.parent import Child
from digits_server.settings import SANDBOX_LIMITS, SandboxLimits

WITHOUT_FIRST_WALL = {"PYTHONPATH": str(Path(__file__).parents[1] / "support/faults/without_first_wall")}
NO_IMAGES = GoldenImages.read(b"", b"", 0.0)
ABORTED = f"model.tflite ended with signal {signal.SIGABRT:d} while it was tried"


@pytest.fixture
def corrupting(repository: Path, tmp_path: Path) -> Path:
    """A repository with version 1, and below `new` a version 2 that aborts the process which runs it."""
    copy_version(repository, tmp_path, 1)
    version = copy_version(repository, tmp_path / "new", 2)
    replace_file(
        version, "model.tflite", hostile_models.with_bytes_compared(version.joinpath("model.tflite").read_bytes())
    )
    return tmp_path


@pytest.fixture
def model(repository: Path) -> ModelContent:
    data = repository.joinpath("digits/1/model.tflite").read_bytes()
    return ModelContent(runtime="litert", name="model.tflite", data=data)


def rejection(child: Child, model: ModelContent) -> tuple[str, str]:
    with pytest.raises(ModelRejected) as caught:
        child.try_model(model, NO_IMAGES, 8)
    return caught.value.cause, caught.value.message


def test_a_model_that_aborts_its_process_is_rejected_and_the_version_before_serves(corrupting: Path) -> None:
    with (
        ServerProcess("--repository", corrupting, "--poll-interval", "0.02", environment=WITHOUT_FIRST_WALL) as server,
        server.channel() as channel,
    ):
        server.wait_ready()
        stub = PredictionServiceStub(channel)
        (corrupting / "new/digits/2").rename(corrupting / "digits/2")

        def second() -> Any:
            return stub.GetModel(GetModelRequest(), timeout=DEADLINE).versions[-1]

        until(lambda: second().state == ModelVersionStatus.REJECTED, "version 2 is rejected")
        assert second().reason == ABORTED
        assert stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE).model_version == 1
        assert server.metric("digits_model_load_failures_total", reason="crash") == 1


def test_a_server_that_starts_beside_such_a_model_serves_the_one_before(corrupting: Path) -> None:
    (corrupting / "new/digits/2").rename(corrupting / "digits/2")
    with (
        ServerProcess("--repository", corrupting, environment=WITHOUT_FIRST_WALL) as server,
        server.channel() as channel,
    ):
        server.wait_ready()
        reply = PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)
    assert reply.model_version == 1


def test_the_models_command_says_that_such_a_model_crashed(corrupting: Path) -> None:
    (corrupting / "new/digits/2").rename(corrupting / "digits/2")
    ended = subprocess.run(
        [SCRIPTS / "digits-server", "models", "verify", "--repository", corrupting],
        env=os.environ | WITHOUT_FIRST_WALL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, f"version 1: good\nversion 2: {ABORTED}\n")


def test_a_child_that_is_killed_rejects_its_model(model: ModelContent) -> None:
    child = Child("litert")
    os.kill(child.pid, signal.SIGSEGV)
    assert rejection(child, model) == ("crash", "model.tflite ended with signal 11 while it was tried")


def test_a_model_that_needs_more_memory_than_allowed_is_rejected(
    model: ModelContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SANDBOX_LIMITS, "litert", SandboxLimits(memory=600 * 1024**2, seconds=60))
    large = hostile_models.with_work(
        model.data, channels=64
    )  # 51 MB for each image of each convolution in a batch of 256
    with pytest.raises(ModelRejected) as caught:
        Child("litert").try_model(ModelContent(runtime="litert", name="model.tflite", data=large), NO_IMAGES, 256)
    assert caught.value.cause in {"crash", "load", "memory"}


def test_a_child_that_hangs_is_ended_in_time(model: ModelContent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SANDBOX_LIMITS, "litert", SandboxLimits(memory=3 * 1024**3, seconds=1))
    child = Child("litert")
    os.kill(child.pid, signal.SIGSTOP)
    assert rejection(child, model) == ("time", "model.tflite was not loaded and run within 1 s")
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_child_gets_no_setting_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    child = Child("litert")
    try:
        assert b"secret" not in Path(f"/proc/{child.pid}/environ").read_bytes()
    finally:
        child.end()


PROBE = """
import os, socket
from digits_server.sandbox import confinement
assert confinement.filter_calls()

def refused(action):
    try:
        action()
    except PermissionError:
        return True
    return False

assert refused(lambda: socket.socket())
assert refused(lambda: socket.socketpair())
assert refused(lambda: os.kill(os.getppid(), 0))
assert refused(lambda: os.execv("/bin/true", ["true"]))
os.abort()
"""


@pytest.mark.skipif(not confinement.supported(), reason="the system has no filter of system calls")
def test_a_proving_process_reaches_no_network_program_or_other_process_and_may_still_abort() -> None:
    ended = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGABRT, ended.stderr


def test_the_sandbox_process_imports_no_other_part_of_the_server() -> None:
    child = Child("litert")
    try:
        maps = Path(f"/proc/{child.pid}/maps")
        until(lambda: b"litert" in maps.read_bytes(), "the child has imported LiteRT")
        found = maps.read_bytes()
    finally:
        child.end()
    assert b"cygrpc" not in found
    assert b"google/_upb" not in found
