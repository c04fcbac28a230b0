"""`digits-train evaluate` notices if a version differs from its manifest."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from digits_training import cli
from digits_training.conversion import unlike

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def repository(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "repository"))


@pytest.fixture
def evaluate(repository: Path, small_data: Path) -> Callable[[], int]:
    return lambda: cli.run(["evaluate", "1", "--repository", str(repository), "--data", str(small_data)])


def _change_manifest(repository: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = repository / "digits/1/manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_version_is_what_its_manifest_says(evaluate: Callable[[], int], capsys: Capture) -> None:
    assert evaluate() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "version 1 agrees with its manifest"
    shown = {line.split(" recorded ")[0].strip() for line in lines[:-1]}
    assert {"test_accuracy", "validation_loss", "expected_calibration_error", "recall of label 9"} <= shown


@pytest.mark.parametrize("figure", ["testAccuracy", "validationLoss", "expectedCalibrationError"])
def test_a_figure_that_was_touched_up_is_named(
    figure: str, repository: Path, evaluate: Callable[[], int], capsys: Capture
) -> None:
    def touch_up(content: dict[str, Any]) -> None:
        content["metrics"][figure] += 0.001

    _change_manifest(repository, touch_up)
    assert evaluate() == 1
    error = capsys.readouterr().err
    assert "version 1 differs from its manifest: " in error
    assert figure.split("A", maxsplit=1)[0].split("L", maxsplit=1)[0].split("C", maxsplit=1)[0].lower() in error


def test_a_confusion_matrix_that_was_touched_up_is_named(
    repository: Path, evaluate: Callable[[], int], capsys: Capture
) -> None:
    def move_one_image(content: dict[str, Any]) -> None:
        counts = content["metrics"]["confusionMatrix"]
        counts[0], counts[1] = str(int(counts[0]) + 1), str(int(counts[1]) - 1)

    _change_manifest(repository, move_one_image)
    assert evaluate() == 1
    assert "confusion_matrix" in capsys.readouterr().err


def test_a_changed_model_is_named(repository: Path, evaluate: Callable[[], int], capsys: Capture) -> None:
    path = repository / "digits/1/model.tflite"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert evaluate() == 1
    assert "model.tflite is missing or differs from its checksum" in capsys.readouterr().err


def test_another_model_with_a_matching_checksum_is_noticed(
    repository: Path, small_data: Path, evaluate: Callable[[], int], capsys: Capture
) -> None:
    arguments = ["--data", str(small_data), "--epochs", "3", "--seed", "9", "--force"]
    assert cli.run(["train", "--repository", str(repository), *arguments]) == 0
    forged = (repository / "digits/2/model.tflite").read_bytes()
    (repository / "digits/1/model.tflite").write_bytes(forged)

    def sign(content: dict[str, Any]) -> None:
        (entry,) = [file for file in content["files"] if file["path"] == "model.tflite"]
        entry["sha256"], entry["sizeBytes"] = hashlib.sha256(forged).hexdigest(), str(len(forged))

    _change_manifest(repository, sign)
    assert evaluate() == 1
    assert "model.tflite differs from the Keras model" in capsys.readouterr().err


def test_other_data_are_not_mistaken_for_the_ones_used(repository: Path, capsys: Capture) -> None:
    assert cli.run(["evaluate", "1", "--repository", str(repository)]) == 1
    assert "the data are not those the version was made with" in capsys.readouterr().err


def test_a_version_that_is_not_there_is_said_so(repository: Path, capsys: Capture) -> None:
    assert cli.run(["evaluate", "12", "--repository", str(repository)]) == 1
    assert "there is no version 12" in capsys.readouterr().err


def test_a_damaged_manifest_is_said_so(repository: Path, evaluate: Callable[[], int], capsys: Capture) -> None:
    (repository / "digits/1/manifest.json").write_text("{")
    assert evaluate() == 1
    assert "manifest.json of version 1 is damaged" in capsys.readouterr().err


def test_golden_images_with_other_scores_are_noticed(
    repository: Path, evaluate: Callable[[], int], capsys: Capture
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["goldenImages"][0]["probabilities"].reverse()

    _change_manifest(repository, change)
    assert evaluate() == 1
    assert "the golden images get other scores: they differ by up to" in capsys.readouterr().err


def test_another_share_of_images_unlike_digits_is_noticed(
    repository: Path, evaluate: Callable[[], int], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["unlike"] = {"refusedShare": 0.01}

    _change_manifest(repository, change)
    monkeypatch.setattr(unlike, "refused_share", lambda _folder, _images: 0.02)
    assert evaluate() == 1
    assert "unlike.tflite refuses 2.00% of the test images, not 1.00%" in capsys.readouterr().err
