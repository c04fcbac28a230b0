"""A manifest at the exact bounds of what the server takes, and the sentence for each thing beyond them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.models.repositories import copy_version, edit_manifest

from digits_server.errors import ModelRejected
from digits_server.models import version_files
from digits_server.models.manifests import MAX_FILES, MAX_MANIFEST_BYTES
from digits_server.models.repository import ModelRepository

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A copy of a good version, to change."""
    return copy_version(repository, tmp_path, 1)


def opened(folder: Path, max_bytes: int = 10_000_000) -> ModelRepository:
    return ModelRepository(folder.parents[1], "digits", max_bytes=max_bytes)


def refusal(folder: Path, change: Change) -> tuple[str, str]:
    edit_manifest(folder, change)
    with pytest.raises(ModelRejected) as caught:
        opened(folder).manifest(1)
    return caught.value.cause, caught.value.message


def test_the_name_of_a_network_may_have_100_letters(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest["training"].update(network="x" * 100))
    assert opened(folder).manifest(1).training.network == "x" * 100


def test_a_version_may_have_100_files(folder: Path) -> None:
    file = {"path": "a", "sha256": "", "sizeBytes": "1"}
    edit_manifest(folder, lambda manifest: manifest.update(files=[file] * MAX_FILES))
    assert len(opened(folder).manifest(1).files) == MAX_FILES
    more = refusal(folder, lambda manifest: manifest.update(files=[file] * (MAX_FILES + 1)))
    assert more == ("manifest", "manifest.json lists 101 files; at most 100")


def test_the_files_of_a_version_may_have_as_many_bytes_as_the_limit(folder: Path) -> None:
    sizes = [{"path": "a", "sizeBytes": "600"}, {"path": "b", "sizeBytes": "400"}]
    edit_manifest(folder, lambda manifest: manifest.update(files=sizes))
    assert len(opened(folder, 1000).manifest(1).files) == 2
    with pytest.raises(ModelRejected) as caught:
        opened(folder, 999).manifest(1)
    assert (caught.value.cause, caught.value.message) == (
        "size",
        "the files have 1000 bytes; at most 999 (max_model_bytes)",
    )


def test_a_model_that_the_manifest_does_not_list_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(ModelRejected) as caught:
        opened(folder).verify(1, "other.tflite")
    assert (caught.value.cause, caught.value.message) == ("manifest", "the manifest lists no other.tflite")


def test_no_file_makes_up_for_another_by_a_negative_size(folder: Path) -> None:
    sizes = [{"path": "a", "sizeBytes": "-1"}, {"path": "b", "sizeBytes": "400"}]
    assert refusal(folder, lambda manifest: manifest.update(files=sizes))[0] == "size"


def test_a_file_without_any_bytes_may_be_listed(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest.update(files=[{"path": "a", "sizeBytes": "0"}]))
    assert opened(folder).manifest(1).files[0].path == "a"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schemaVersion": 2, "aFieldOfTomorrow": 1}, "manifest.json: expected schemaVersion 1, found 2"),
        ({"schemaVersion": 0}, "manifest.json: expected schemaVersion 1, found 0"),
        ({"modelVersion": "2"}, "manifest.json: expected modelVersion 1, found 2"),
        ({"modelName": "letters"}, "manifest.json: expected modelName digits, found letters"),
        ({"labels": ["0"]}, "manifest.json: expected the number of labels 10, found 1"),
        (
            {"input": {"dtype": "float32", "shape": [28, 28]}},
            "manifest.json: expected input.dtype uint8, found float32",
        ),
        (
            {"input": {"dtype": "uint8", "shape": [32, 32]}},
            "manifest.json: expected input.shape [28, 28], found [32, 32]",
        ),
        ({"training": {"network": "x" * 101}}, "manifest.json: a network's name has at most 100 letters"),
        ({"goldenImages": []}, "manifest.json has no golden images to verify the model with"),
    ],
)
def test_each_field_that_is_not_as_expected_is_named(folder: Path, change: dict[str, Any], sentence: str) -> None:
    assert refusal(folder, lambda manifest: manifest.update(change)) == ("manifest", sentence)


@pytest.mark.parametrize("change", [{"image": "AAAA"}, {"probabilities": [1.0] * 9}])
def test_every_golden_image_is_whole(folder: Path, change: dict[str, Any]) -> None:
    expected = ("manifest", "manifest.json: a golden image must have 784 bytes and 10 probabilities")
    assert refusal(folder, lambda manifest: manifest["goldenImages"][-1].update(change)) == expected


def test_a_score_of_unlike_has_ten_distances_for_each_golden_image(folder: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest.update(unlike={"goldenDistances": [1.0] * 200}))
    assert len(opened(folder).manifest(1).unlike.golden_distances) == 200
    for count in (199, 201, 0):
        unlike = {"goldenDistances": [1.0] * count}
        assert refusal(folder, partial(_set_unlike, unlike)) == (
            "manifest",
            "manifest.json: unlike must have 10 golden distances for each golden image",
        )


def _set_unlike(unlike: dict[str, Any], manifest: dict[str, Any]) -> None:
    manifest["unlike"] = unlike


def test_a_manifest_of_the_largest_size_is_read(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().ljust(MAX_MANIFEST_BYTES))
    assert opened(folder).manifest(1).model_version == 1
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(ModelRejected, match=r"^manifest\.json is larger than 524288 bytes$") as caught:
        opened(folder).manifest(1)
    assert caught.value.cause == "size"


@pytest.mark.parametrize("text", ["[]", "1", "null", '"text"', "{}", "[" * 100_000, "\xff", '{"schemaVersion": "x"}'])
def test_json_that_is_not_a_manifest_is_refused(folder: Path, text: str) -> None:
    folder.joinpath("manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelRejected) as caught:
        opened(folder).manifest(1)
    assert caught.value.cause == "manifest"


def test_a_file_shorter_than_its_manifest_says_is_refused_with_both_sizes(folder: Path) -> None:
    model = folder / "model.tflite"
    size = model.stat().st_size
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(ModelRejected) as caught:
        opened(folder).verify(1, "model.tflite")
    assert (caught.value.cause, caught.value.message) == (
        "size",
        f"model.tflite has {size - 1} bytes; its manifest says {size}",
    )


def test_a_file_of_a_verified_version_is_read_again_and_checked_again(folder: Path) -> None:
    repository = opened(folder)
    file = next(each for each in repository.manifest(1).files if each.path == "report/history.json")
    history = folder / "report/history.json"
    good = history.read_bytes()
    assert repository.read(1, file) == good
    history.write_bytes(good[:-1] + b"x")
    with pytest.raises(ModelRejected) as caught:
        repository.read(1, file)
    assert (caught.value.cause, caught.value.message) == (
        "hash",
        "report/history.json does not have the SHA-256 in its manifest",
    )
    history.unlink()
    with pytest.raises(ModelRejected) as caught:
        repository.read(1, file)
    assert (caught.value.cause, caught.value.message) == ("missing", "report/history.json is missing")


def test_a_file_is_checked_piece_by_piece_to_its_last_byte(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_files, "PIECE_BYTES", 1000)
    opened(folder).verify(1, "model.tflite")
    other = folder / "model.keras"
    other.write_bytes(other.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ModelRejected, match=r"^model\.keras does not have the SHA-256"):
        opened(folder).verify(1, "model.tflite")


def test_only_folders_with_the_number_of_a_version_are_versions(folder: Path) -> None:
    for name in ("0", "01", "-3", "x", "1.5", "9" * 18, "9" * 19, "12"):
        folder.parent.joinpath(name).mkdir()
    folder.parent.joinpath("13").write_bytes(b"a file")
    assert sorted(opened(folder).every_version()) == [1, 12, int("9" * 18)]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN"])
def test_a_hyperparameter_that_is_not_a_finite_number_is_refused(folder: Path, number: str) -> None:
    edit_manifest(folder, lambda manifest: manifest["training"].update(hyperparameters={"rate": 12345.5}))
    assert opened(folder).manifest(1).training.hyperparameters["rate"] == 12345.5
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace("12345.5", number))
    with pytest.raises(ModelRejected) as caught:
        opened(folder).manifest(1)
    assert caught.value.cause == "manifest"


def test_the_fingerprint_of_a_version_changes_with_its_content(folder: Path) -> None:
    repository = opened(folder)
    before = repository.fingerprint(1)
    assert repository.fingerprint(1) == before
    (folder / "model.tflite").write_bytes(b"another model")
    assert repository.fingerprint(1) != before
