"""A volume that stops answering, like a network volume without its server: it blocks neither calls nor a stop."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from support.calls.rpc import DEADLINE
from support.machine.mounted import Mounted
from support.models.repositories import copy_version
from support.servers.following import following
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

CALLS = 20


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """The folder that the volume shows: a repository with version 1."""
    shutil.copytree(repository, tmp_path / "folder")
    return tmp_path / "folder"


@pytest.fixture
def volume(folder: Path, tmp_path: Path) -> Iterator[Mounted]:
    with Mounted(tmp_path / "volume", folder) as mounted:
        yield mounted


def predict(channel: grpc.Channel) -> PredictResponse:
    return PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)


@OVER_BOTH_TRANSPORTS
def test_calls_probes_and_a_stop_go_on_while_the_repository_does_not_answer(volume: Mounted) -> None:
    with (
        ServerProcess("--repository", volume.path, "--poll-interval", "0.02") as server,
        server.channel() as channel,
    ):
        server.wait_ready()
        volume.fall_silent()
        status, _ = server.get("/model/1/report/history.png")  # waits behind nothing but the volume
        assert status == 503
        for _ in range(CALLS):
            assert predict(channel).model_version == 1
        assert server.get("/readyz")[0] == server.get("/healthz")[0] == server.get("/metrics")[0] == 200
        server.terminate()
        assert server.wait() == 0
        assert "Traceback" not in "".join(server.stderr)


def test_a_server_follows_its_repository_again_once_that_answers(
    repository: Path, folder: Path, volume: Mounted
) -> None:
    with (
        ServerProcess("--repository", volume.path, "--poll-interval", "0.02") as server,
        server.channel() as channel,
    ):
        server.wait_ready()
        volume.fall_silent()
        copy_version(repository, folder, 2)
        assert server.get("/model/1/report/history.png")[0] == 503
        volume.speak()
        until(lambda: predict(channel).model_version == 2, "version 2 answers")


def test_a_version_that_could_not_be_read_for_a_while_is_tried_again(
    repository: Path, folder: Path, volume: Mounted
) -> None:
    with following(volume.path) as follower:
        volume.fail()
        copy_version(repository, folder.parent / "new", 2).rename(folder / "digits" / "2")
        follower.wait_for({1: "SERVING", 2: "REJECTED"})
        assert follower.reason(2) == "manifest.json cannot be read: Input/output error"
        volume.speak()
        follower.wait_for({1: "SERVING", 2: "SERVING"})


def test_probes_are_answered_and_a_stop_ends_a_server_that_cannot_read_its_first_model(volume: Mounted) -> None:
    volume.fall_silent()
    with ServerProcess("--repository", volume.path) as server:
        assert server.get("/healthz")[0] == 200
        assert server.get("/readyz")[0] == 503
        server.terminate()
        assert server.wait() == 0


def test_several_workers_stop_while_the_repository_does_not_answer(volume: Mounted) -> None:
    with ServerProcess("--repository", volume.path, "--workers", "2", "--poll-interval", "0.02") as server:
        server.wait_ready()
        volume.fall_silent()
        assert server.get("/model/1/report/history.png")[0] == 503
        server.terminate()
        assert server.wait() == 0
