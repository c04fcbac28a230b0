"""Certificates and tokens on a volume that stops answering: neither calls nor a stop wait for it."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from support.calls.rpc import DEADLINE
from support.machine.mounted import Mounted
from support.network.certificates import NAME, Authority, Folder
from support.servers.process import ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

CALLS = 20
TOKEN = "a-token-for-one-caller"  # noqa: S105 - of this test


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that the volume shows."""
    return tmp_path / "folder"


@pytest.fixture
def volume(folder: Path, tmp_path: Path) -> Iterator[Mounted]:
    folder.mkdir()
    with Mounted(tmp_path / "volume", folder) as mounted:
        yield mounted


@pytest.mark.parametrize("kind", ["certificate", "tokens"])
def test_files_of_secrets_that_cannot_be_read_hold_no_call_and_no_stop(
    repository: Path, folder: Path, volume: Mounted, kind: str
) -> None:
    authority = Authority()
    Folder(folder).put(authority.sign())
    (folder / "tokens").write_text(f"{TOKEN}\n")
    flags = Folder(volume.path).flags if kind == "certificate" else ["--tokens", volume.path / "tokens"]
    with ServerProcess("--repository", repository, *flags) as server:
        server.wait_ready()
        volume.fall_silent()
        credentials = grpc.ssl_channel_credentials(authority.certificate)
        options = [("grpc.ssl_target_name_override", NAME)]
        secure = kind == "certificate"
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        with grpc.secure_channel(server.target, credentials, options) if secure else server.channel() as channel:
            for _ in range(CALLS):
                request = PredictRequest(images=bytes(784))
                reply = PredictionServiceStub(channel).Predict(request, timeout=DEADLINE, metadata=metadata)
                assert reply.model_version == 1
        server.terminate()
        assert server.wait() == 0


def test_a_stop_ends_a_server_that_cannot_read_its_certificate(repository: Path, folder: Path, volume: Mounted) -> None:
    Folder(folder).put(Authority().sign())
    volume.fall_silent()
    server = ServerProcess("--repository", repository, "--log-level", "debug", *Folder(volume.path).flags)
    try:
        until(lambda: waits_for_the_volume(server), "a thread waits for the volume")
        server.terminate()
        assert server.wait() == 0
    finally:
        server.kill()


def waits_for_the_volume(server: ServerProcess) -> bool:
    tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
    return any("request_wait_answer" in task.joinpath("wchan").read_text() for task in tasks)
