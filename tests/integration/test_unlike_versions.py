"""unlike.tflite is verified like model.tflite: a version whose file is not what its manifest says is rejected."""

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.calls.rpc import DEADLINE
from support.models import hostile_models
from support.models.repositories import copy_version, edit_manifest, replace_file
from support.servers.process import ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import GetModelRequest, ModelVersionStatus
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_server.models.published import PublishedVersions
from digits_server.settings import Settings

FILE = "unlike.tflite"


def remove_the_file(version: Path) -> None:
    version.joinpath(FILE).unlink()


def flip_one_bit(version: Path) -> None:
    content = bytearray(version.joinpath(FILE).read_bytes())
    content[len(content) // 2] ^= 1
    version.joinpath(FILE).write_bytes(content)


def cut_the_file_off(version: Path) -> None:
    os.truncate(version / FILE, 1000)


def vouch_for_half_a_file(version: Path) -> None:
    replace_file(version, FILE, version.joinpath(FILE).read_bytes()[:1000])


def vouch_for_a_custom_operator(version: Path) -> None:
    replace_file(version, FILE, hostile_models.with_custom_operator(version.joinpath(FILE).read_bytes()))


def vouch_for_changed_weights(version: Path) -> None:
    content = bytearray(version.joinpath(FILE).read_bytes())
    middle = len(content) // 8 * 4
    content[middle : middle + 8000] = struct.pack("<2000f", *[0.5] * 2000)
    replace_file(version, FILE, bytes(content))


def vouch_for_the_model_instead(version: Path) -> None:
    replace_file(version, FILE, version.joinpath("model.tflite").read_bytes())


def have_other_golden_distances(version: Path) -> None:
    edit_manifest(version, lambda manifest: manifest["unlike"]["goldenDistances"].reverse())


def have_a_golden_distance_too_few(version: Path) -> None:
    edit_manifest(version, lambda manifest: manifest["unlike"]["goldenDistances"].pop())


def list_no_such_file(version: Path) -> None:
    def leave_out(manifest: dict[str, Any]) -> None:
        manifest["files"] = [item for item in manifest["files"] if item["path"] != FILE]

    edit_manifest(version, leave_out)


FAULTS: dict[Callable[[Path], None], str] = {
    remove_the_file: "unlike.tflite is missing",
    flip_one_bit: "unlike.tflite does not have the SHA-256",
    cut_the_file_off: "unlike.tflite has 1000 bytes",
    vouch_for_half_a_file: "unlike.tflite is not a LiteRT model",
    vouch_for_a_custom_operator: "unlike.tflite has the operator 32, which is not allowed",
    vouch_for_changed_weights: "unlike.tflite: 20 of 20 golden images give other scores",
    vouch_for_the_model_instead: "unlike.tflite: 20 of 20 golden images give other scores",
    have_other_golden_distances: "golden images give other scores",
    have_a_golden_distance_too_few: "10 golden distances for each golden image",
    list_no_such_file: "the manifest lists no unlike.tflite",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("followed")


@pytest.fixture(scope="module")
def stub(root: Path, repository: Path) -> Iterator[PredictionServiceStub]:
    """A stub of a server that polls for new versions constantly and serves version 1."""
    copy_version(repository, root, 1)
    with ServerProcess("--repository", root, "--poll-interval", "0.02") as server, server.channel() as channel:
        server.wait_ready()
        yield PredictionServiceStub(channel)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_version_whose_file_is_not_what_its_manifest_says_is_rejected(
    fault: Callable[[Path], None], root: Path, stub: PredictionServiceStub, scored_repository: Path, tmp_path: Path
) -> None:
    number = 2 + list(FAULTS).index(fault)
    bad = copy_version(scored_repository, tmp_path, number)
    fault(bad)

    def status() -> ModelVersionStatus | None:
        found = stub.GetModel(GetModelRequest(), timeout=DEADLINE)
        assert found.manifest.model_version == 1
        return next((each for each in found.versions if each.version == number), None)

    bad.rename(root / "digits" / str(number))
    until(lambda: getattr(status(), "state", None) == ModelVersionStatus.REJECTED, f"version {number} is rejected")
    rejected = status()
    assert rejected is not None
    assert FAULTS[fault] in rejected.reason


def test_only_litert_loads_the_file(scored_repository: Path) -> None:
    for runtime, loads in (("litert", True), ("keras", False)):
        source = PublishedVersions(Settings(repository=scored_repository, runtime=runtime))
        assert (source.load(1).unlike is not None) == loads
