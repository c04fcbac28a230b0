"""A version that is not what its manifest says is rejected with a reason, and the version before it serves."""

import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.calls.rpc import DEADLINE
from support.models import hostile_models
from support.models.repositories import copy_version, edit_manifest, replace_file
from support.servers.process import ServerProcess, run_server
from support.waiting import until

from digits.v1.prediction_pb2 import GetModelRequest, ModelVersionStatus, PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub


def remove_the_model(version: Path) -> None:
    version.joinpath("model.tflite").unlink()


def remove_the_manifest(version: Path) -> None:
    version.joinpath("manifest.json").unlink()


def truncate_the_model(version: Path) -> None:
    os.truncate(version / "model.tflite", 1000)


def flip_one_bit(version: Path) -> None:
    content = bytearray(version.joinpath("model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    version.joinpath("model.tflite").write_bytes(content)


def change_the_model_card(version: Path) -> None:
    version.joinpath("report/model_card.md").write_text("better than it is")


def write_half_a_manifest(version: Path) -> None:
    os.truncate(version / "manifest.json", 500)


def claim_a_newer_schema(version: Path) -> None:
    edit_manifest(version, lambda manifest: manifest.update(schemaVersion=2, somethingNew=True))


def claim_another_version(version: Path) -> None:
    edit_manifest(version, lambda manifest: manifest.update(modelVersion="7"))


def list_a_file_outside(version: Path) -> None:
    edit_manifest(version, lambda manifest: manifest["files"][0].update(path="../1/model.keras"))


def link_to_another_model(version: Path) -> None:
    version.joinpath("model.tflite").unlink()
    version.joinpath("model.tflite").symlink_to("../1/model.tflite")


def link_to_another_version(version: Path) -> None:
    shutil.rmtree(version)
    version.symlink_to("1")


def vouch_for_garbage(version: Path) -> None:
    replace_file(version, "model.tflite", b"TFL3" * 500)


def vouch_for(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def fault(version: Path) -> None:
        replace_file(version, "model.tflite", change(version.joinpath("model.tflite").read_bytes()))

    fault.__name__ = change.__name__
    return fault


def cut_off(model: bytes) -> bytes:
    return model[: len(model) // 2]


def vouch_for_changed_weights(version: Path) -> None:
    content = bytearray(version.joinpath("model.tflite").read_bytes())
    middle = len(content) // 8 * 4  # nine tenths of the file are the weights of the first layer
    content[middle : middle + 8000] = struct.pack("<2000f", *[0.5] * 2000)
    replace_file(version, "model.tflite", bytes(content))


def have_other_golden_scores(version: Path) -> None:
    def swap(manifest: dict[str, Any]) -> None:
        first, *_, last = manifest["goldenImages"]
        first["probabilities"], last["probabilities"] = last["probabilities"], first["probabilities"]

    edit_manifest(version, swap)


def have_no_golden_images(version: Path) -> None:
    edit_manifest(version, lambda manifest: manifest.pop("goldenImages"))


class Running(NamedTuple):
    """A server, a stub for it, and its repository."""

    server: ServerProcess
    stub: PredictionServiceStub
    root: Path

    def status(self, version: int) -> ModelVersionStatus:
        statuses = self.stub.GetModel(GetModelRequest(), timeout=DEADLINE).versions
        return next(status for status in statuses if status.version == version)

    def states(self) -> dict[int, str]:
        statuses = self.stub.GetModel(GetModelRequest(), timeout=DEADLINE).versions
        return {status.version: ModelVersionStatus.State.Name(status.state) for status in statuses}


FAULTS: dict[Callable[[Path], None], tuple[str, str]] = {
    remove_the_model: ("missing", "model.tflite is missing"),
    remove_the_manifest: ("missing", "manifest.json is missing"),
    truncate_the_model: ("size", "model.tflite has 1000 bytes"),
    flip_one_bit: ("hash", "model.tflite does not have the SHA-256"),
    change_the_model_card: ("size", "report/model_card.md"),
    write_half_a_manifest: ("manifest", "manifest.json is not a valid manifest"),
    claim_a_newer_schema: ("manifest", "expected schemaVersion 1, found 2"),
    claim_another_version: ("manifest", "expected modelVersion 2, found 7"),
    list_a_file_outside: ("path", "outside the version's folder"),
    link_to_another_model: ("path", "symbolic link"),
    vouch_for_garbage: ("load", "not a LiteRT model"),
    link_to_another_version: ("path", "symbolic link"),
    vouch_for(cut_off): ("load", "not a LiteRT model"),
    vouch_for(hostile_models.with_custom_operator): ("operator", "the operator 32, which is not allowed"),
    vouch_for(hostile_models.with_huge_padding): ("memory", "asks for more than 536870912 bytes of tensors"),
    vouch_for(hostile_models.with_doubling): ("memory", "asks for more than 536870912 bytes of tensors"),
    vouch_for_changed_weights: ("golden", "golden images give other scores"),
    have_other_golden_scores: ("golden", "2 of 20 golden images give other scores"),
    have_no_golden_images: ("manifest", "no golden images"),
}


@pytest.fixture(scope="module")
def running(repository: Path, tmp_path_factory: pytest.TempPathFactory, transport: str) -> Iterator[Running]:
    """A server that polls for new versions constantly, and its repository with version 1."""
    root = tmp_path_factory.mktemp(transport)
    copy_version(repository, root, 1)
    with ServerProcess("--repository", root, "--poll-interval", "0.02") as server, server.channel() as channel:
        server.wait_ready()
        yield Running(server, PredictionServiceStub(channel), root)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_bad_version_is_rejected_with_its_reason_and_the_one_before_serves(
    repository: Path, running: Running, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    cause, words = FAULTS[fault]
    shutil.copytree(running.root, tmp_path, dirs_exist_ok=True)
    bad = copy_version(repository, tmp_path, 2)
    fault(bad)
    before = running.server.metric("digits_model_load_failures_total", reason=cause)
    bad.rename(running.root / "digits" / "2")
    try:
        until(lambda: running.states() == {1: "SERVING", 2: "REJECTED"}, "version 2 is rejected")
        reason = running.status(2).reason
        assert words in reason
        assert str(running.root) not in reason
        assert running.stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE).model_version == 1
        assert running.server.metric("digits_model_load_failures_total", reason=cause) == before + 1
        until(lambda: any(words in record["message"] for record in list(running.server.log)), "the log has the reason")
    finally:
        (running.root / "digits" / "2").rename(tmp_path / "rejected")
        until(lambda: running.states() == {1: "SERVING"}, "version 2 is gone")


def test_a_server_that_starts_beside_bad_versions_serves_the_one_before(repository: Path, tmp_path: Path) -> None:
    faults = {2: remove_the_manifest, 3: vouch_for_garbage, 4: have_other_golden_scores}
    copy_version(repository, tmp_path, 1)
    for version, fault in faults.items():
        fault(copy_version(repository, tmp_path, version))
    with ServerProcess("--repository", tmp_path) as server, server.channel() as channel:
        server.wait_ready()
        stub = PredictionServiceStub(channel)
        assert stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE).model_version == 1
        first, *bad = stub.GetModel(GetModelRequest(), timeout=DEADLINE).versions
        assert first.state == ModelVersionStatus.SERVING
        assert [(status.version, status.state) for status in bad] == [
            (version, ModelVersionStatus.REJECTED) for version in faults
        ]
        assert all(FAULTS[faults[status.version]][1] in status.reason for status in bad)


def test_the_highest_good_version_serves_and_unfinished_and_foreign_folders_are_none(
    repository: Path, tmp_path: Path
) -> None:
    """The lower versions are available."""
    for version in (1, 2, 10):
        copy_version(repository, tmp_path, version)
    for name in (".incoming-2", "02", "0", "-3", "latest", "4 "):
        tmp_path.joinpath("digits", name).mkdir()
    tmp_path.joinpath("digits", "5").write_text("a file")
    with ServerProcess("--repository", tmp_path) as server, server.channel() as channel:
        server.wait_ready()
        reply = PredictionServiceStub(channel).GetModel(GetModelRequest(), timeout=DEADLINE)
    assert reply.runtime == "litert"
    assert reply.manifest.model_version == 10
    assert [item.version for item in reply.versions] == [1, 2, 10]
    assert reply.versions[2].state == ModelVersionStatus.SERVING


def test_with_no_good_version_the_server_says_every_reason_and_exits_1(repository: Path, tmp_path: Path) -> None:
    flip_one_bit(copy_version(repository, tmp_path, 1))
    remove_the_model(copy_version(repository, tmp_path, 2))
    ended = run_server("--repository", tmp_path)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert "version 1: model.tflite does not have the SHA-256" in last
    assert "version 2: model.tflite is missing" in last
    assert "Traceback" not in ended.stderr
