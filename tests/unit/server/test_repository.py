"""The repository uses only files that it has verified."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.models.repositories import copy_version, edit_manifest

from digits_server.errors import ModelRejected, RepositoryError
from digits_server.models.repository import ModelRepository

MAX_BYTES = 10_000_000


def opened(root: Path, max_bytes: int = MAX_BYTES) -> ModelRepository:
    return ModelRepository(root, "digits", max_bytes=max_bytes)


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """A copy to change: the folder of its version 1."""
    return copy_version(repository, tmp_path, 1)


def test_a_good_version_gives_the_bytes_that_were_verified(repository: Path) -> None:
    version = opened(repository).verify(1, "model.tflite")
    assert version.version == 1
    assert version.model == Path(repository, "digits/1/model.tflite").read_bytes()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_noticed(repository: Path, tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "digits" / "1"
    if not folder.exists():
        shutil.copytree(repository / "digits" / "1", folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    file = data.draw(st.sampled_from(files))
    good = file.read_bytes()
    at = data.draw(st.integers(0, len(good) * 8 - 1))
    bad = bytearray(good)
    bad[at // 8] ^= 1 << at % 8
    file.write_bytes(bad)
    with pytest.raises(ModelRejected, match="SHA-256") as caught:
        opened(tmp_path).verify(1, "model.tflite")
    assert caught.value.cause == "hash"
    file.write_bytes(good)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_manifest_cut_off_anywhere_is_rejected(repository: Path, tmp_path: Path, share: float) -> None:
    folder = tmp_path / "digits" / "1"
    if not folder.exists():
        shutil.copytree(repository / "digits" / "1", folder)
    whole = Path(repository, "digits/1/manifest.json").read_bytes().rstrip()
    folder.joinpath("manifest.json").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelRejected):
        opened(tmp_path).verify(1, "model.tflite")


@pytest.mark.parametrize("name", ["/etc/passwd", "../2/model.tflite", "report/../../1/model.keras", ""])
def test_a_manifest_cannot_point_outside_its_version(copy: Path, tmp_path: Path, name: str) -> None:
    edit_manifest(copy, lambda manifest: manifest["files"][0].update(path=name))
    with pytest.raises(ModelRejected) as caught:
        opened(tmp_path).verify(1, "model.tflite")
    assert caught.value.cause == "path"


def test_a_linked_folder_inside_a_version_is_rejected(copy: Path, tmp_path: Path) -> None:
    copy.joinpath("report").rename(tmp_path / "elsewhere")
    copy.joinpath("report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelRejected, match="symbolic link"):
        opened(tmp_path).verify(1, "model.tflite")


def test_a_version_over_the_size_limit_is_rejected_before_it_is_read(repository: Path) -> None:
    with pytest.raises(ModelRejected, match="max_model_bytes") as caught:
        opened(repository, max_bytes=1000).verify(1, "model.tflite")
    assert caught.value.cause == "size"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": ["0"]}, "labels 10, found 1"),
        ({"modelName": "letters"}, "modelName digits, found letters"),
        ({"input": {"dtype": "float32", "shape": [28, 28]}}, "input.dtype uint8, found float32"),
        ({"input": {"dtype": "uint8", "shape": [32, 32]}}, "found [32, 32]"),
        ({"goldenImages": [{"image": "AAAA"}]}, "784 bytes and 10 probabilities"),
        ({"files": []}, "lists no model.tflite"),
        ({"training": {"network": "x" * 101}}, "a network's name has at most 100 letters"),
        ({"aFieldOfTomorrow": 1}, "not a valid manifest"),
    ],
)
def test_a_manifest_of_something_else_is_rejected_by_name(
    copy: Path, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    edit_manifest(copy, lambda manifest: manifest.update(change))
    with pytest.raises(ModelRejected) as caught:
        opened(tmp_path).verify(1, "model.tflite")
    assert words in caught.value.message


def test_a_missing_repository_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no model repository"):
        opened(tmp_path / "nowhere").versions()
