"""A bare model file that is too large, unreadable or gone: a reason for the operator, and what serves goes on."""

from pathlib import Path

import pytest

from digits.v1.manifest_pb2 import ModelFile
from digits_server.errors import ModelRejected
from digits_server.models.bare_file import BareFile
from digits_server.models.rollout import Rollout

MAX_BYTES = 100


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(b"x" * MAX_BYTES)
    return path


@pytest.fixture
def source(path: Path) -> BareFile:
    return BareFile(path, 1.0, MAX_BYTES, Rollout())


def test_a_file_of_the_largest_size_is_loaded_and_a_larger_one_rejected(path: Path, source: BareFile) -> None:
    assert source.load(1).content.data == b"x" * MAX_BYTES
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(ModelRejected, match=r"model\.keras: .*larger than 100 bytes \(max_model_bytes\)") as caught:
        source.load(1)
    assert caught.value.cause == "size"


def test_a_file_that_is_gone_is_rejected_and_keeps_its_fingerprint(path: Path, source: BareFile) -> None:
    before = source.fingerprint(1)
    path.unlink()
    with pytest.raises(ModelRejected, match=r"model\.keras cannot be read: No such file") as caught:
        source.load(1)
    assert caught.value.cause == "read"
    assert source.fingerprint(1) == before


def test_a_bare_file_has_no_report_to_send(source: BareFile) -> None:
    with pytest.raises(ModelRejected, match="a bare file has no report"):
        source.read(1, ModelFile(path="report/report.md"))
