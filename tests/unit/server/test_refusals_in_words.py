"""Failures around the model and the server's own commands, each said in one sentence."""

import errno
import http.client
import os
import ssl
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import Manifest
from digits_server.commands import grpc_health, health
from digits_server.errors import ModelRejected, OperatorError
from digits_server.models import version_files
from digits_server.models.published import PublishedVersions
from digits_server.models.repository import ModelRepository
from digits_server.observers.setup import observation
from digits_server.runtimes import loading
from digits_server.runtimes.litert import LiteRTRuntime
from digits_server.security import tls
from digits_server.security.reloading import FileContent
from digits_server.settings import Settings
from digits_server.workers.control import Channel, ChannelClosed
from digits_server.workers.worker import Worker

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BROKEN = OSError(errno.EIO, os.strerror(errno.EIO))


class FailingChannel:
    """A channel to a supervisor that does not answer."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def ask(self, *_: Any, **__: Any) -> Any:
        raise self._error


@pytest.mark.parametrize("error", [TimeoutError(), ChannelClosed()])
async def test_a_worker_without_its_supervisor_has_no_metrics_and_is_not_ready(error: Exception) -> None:
    worker = object.__new__(Worker)
    worker._channel = cast("Channel", FailingChannel(error))
    with pytest.raises(TimeoutError):
        await worker.metrics()
    assert await worker.ready() is False


def test_a_health_command_without_an_answer_in_time_says_how_long_it_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def request(self, *_: Any) -> None:
            raise TimeoutError("timed out")

        def close(self) -> None:
            pass

    monkeypatch.setattr(http.client, "HTTPConnection", Silent)
    with pytest.raises(health.Unhealthy, match=r"no answer from HTTP port 8080 of 127\.0\.0\.1: none within 2\.5 s"):
        health.ask(Settings(http_port=8080))


@pytest.mark.parametrize("serving", [True, False])
def test_health_over_grpc_tells_a_server_that_is_not_ready(monkeypatch: pytest.MonkeyPatch, serving: bool) -> None:
    status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING

    def check(*_: Any, **__: Any) -> HealthCheckResponse:
        return HealthCheckResponse(status=status)

    monkeypatch.setattr(grpc_health, "HealthStub", lambda _: SimpleNamespace(Check=check))
    monkeypatch.setattr(grpc_health, "_channel", lambda *_: nullcontext())
    settings = Settings(http_port=0, grpc_port=50051)
    if serving:
        assert health.ask(settings) == "ready, says gRPC port 50051 of 127.0.0.1"
    else:
        with pytest.raises(health.Unhealthy, match=r"not ready, says gRPC port 50051 .*: it loads a model, or drains"):
            health.ask(settings)


def test_tracing_that_is_not_installed_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "digits_server.observers.tracing", None)
    with pytest.raises(OperatorError, match="install digits-server with its extra 'tracing'"):
        observation(Settings(tracing_endpoint="http://127.0.0.1:1"), None)


def test_a_manifest_with_scores_but_without_their_file_is_refused(tmp_path: Path) -> None:
    manifest = Manifest(model_version=1)
    manifest.unlike.SetInParent()
    with pytest.raises(ModelRejected, match=r"lists no unlike\.tflite, but says how it was measured") as caught:
        PublishedVersions(Settings(repository=tmp_path))._unlike(manifest)
    assert caught.value.cause == "manifest"


def test_a_volume_that_fails_while_a_file_is_read_is_named_and_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("digits", "1").mkdir(parents=True)
    tmp_path.joinpath("digits", "1", "manifest.json").write_text("{}")

    def fail(*_: Any, **__: Any) -> bytes:
        raise BROKEN

    monkeypatch.setattr(version_files, "read_regular", fail)
    with pytest.raises(ModelRejected, match=f"manifest.json cannot be read: {BROKEN.strerror}") as caught:
        ModelRepository(tmp_path, "digits", max_bytes=1000).manifest(1)
    assert caught.value.passing


def test_a_full_disk_for_the_copy_that_keras_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> Any:
        raise FULL

    keras = ModuleType("keras")
    keras.KerasRuntime = None  # type: ignore[attr-defined]  # TensorFlow takes seconds to import
    monkeypatch.setitem(sys.modules, "digits_server.runtimes.keras", keras)
    monkeypatch.setattr(tempfile, "TemporaryDirectory", fail)
    with pytest.raises(ModelRejected, match=f"copy of model.keras that Keras needs: {FULL.strerror}") as caught:
        loading.load(loading.ModelContent(runtime="keras", name="model.keras", data=b""))
    assert caught.value.passing


class Recording:
    """A runtime that records the sizes of its batches."""

    largest_shape = 8

    def __init__(self, name: str) -> None:
        self.name = name
        self.sizes: list[int] = []

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert images.shape[1:] == (28, 28)
        self.sizes.append(len(images))
        return np.zeros((len(images), 10), np.float32)


@pytest.mark.parametrize(
    ("name", "largest", "sizes"),
    [("litert", 8, [1, 2, 4, 8]), ("litert", 100, [1, 2, 4, 8]), ("litert", 5, [1, 2, 4]), ("keras", 8, [1, 8])],
)
def test_a_model_is_tried_in_every_size_and_one_of_keras_in_the_smallest_and_the_largest(
    name: str, largest: int, sizes: list[int]
) -> None:
    runtime = Recording(name)
    loading.run_sizes(runtime, largest)
    assert sorted(runtime.sizes) == sizes


@pytest.mark.parametrize("kind", [np.float32, np.int8])
def test_a_model_that_litert_sees_otherwise_than_the_check_of_its_file_is_refused(kind: Any) -> None:
    runtime = object.__new__(LiteRTRuntime)
    runtime._file = "model.tflite"
    outputs = [{"dtype": np.float32, "shape": [1, 10]}]
    for found, refused in ((np.uint8, False), (kind, True)):
        inputs = [{"dtype": found, "shape": [1, 28, 28]}]
        seen = SimpleNamespace(get_input_details=lambda inputs=inputs: inputs, get_output_details=lambda: outputs)
        with pytest.raises(ModelRejected, match=r"must take uint8\[N, 28, 28\]") if refused else nullcontext():
            runtime._check(seen)


class Verification(ssl.SSLCertVerificationError):
    """As OpenSSL raises it of a certificate that has expired."""

    verify_message = "certificate has expired"


class Handshake(ssl.SSLError):
    """As OpenSSL raises it of a handshake that fails, with its reason if it has one."""

    def __init__(self, reason: str | None) -> None:
        super().__init__()
        self.reason = reason  # type: ignore[assignment]  # it may be None


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Verification(), "--tls-certificate: cannot use tls.crt: certificate has expired"),
        (Handshake("NO_SHARED_CIPHER"), "--tls-certificate: no caller can use tls.crt: no shared cipher"),
        (Handshake(None), "--tls-certificate: no caller can use tls.crt: no handshake"),
    ],
)
def test_a_certificate_that_no_caller_accepts_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, error: ssl.SSLError, sentence: str
) -> None:
    def fail(_: ssl.SSLObject) -> None:
        raise error

    monkeypatch.setattr(tls, "_go_on", fail)
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_: None)
    own = SimpleNamespace(path="tls.crt", read=lambda _: b"")
    with pytest.raises(OperatorError) as caught:
        tls._expiry(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cast("FileContent", own))
    assert caught.value.message == sentence
