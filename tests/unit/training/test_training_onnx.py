"""A version exported as ONNX gives the same answers as the published model, or is not written."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from digits_training import cli
from digits_training.conversion import onnx
from digits_training.conversion.litert import litert_probabilities
from digits_training.data import DataSet


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_an_onnx_file_gives_the_answers_of_the_model_that_serves(
    network: str, request: pytest.FixtureRequest, small_data: Path, tmp_path: Path, small: DataSet
) -> None:
    repository: Path = request.getfixturevalue("published" if network == "mlp" else "scored_repository")
    output = tmp_path / "deep/model.onnx"
    arguments = ["--repository", str(repository), "--data", str(small_data), "--output", str(output)]
    assert cli.run(["export", "1", "--format", "onnx", *arguments]) == 0
    assert [path.name for path in output.parent.iterdir()] == ["model.onnx"]
    expected = litert_probabilities(repository / "digits/1/model.tflite", small.test.images)
    answered = onnx.onnx_probabilities(output, small.test.images)
    assert answered == pytest.approx(expected, abs=1e-4)
    assert (answered.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_the_default_output_is_named_for_the_version_in_this_folder(
    published: Path,
    small_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--repository", str(published), "--data", str(small_data)]
    assert cli.run(["export", "1", "--format", "onnx", *arguments]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["digits-1.onnx"]
    assert "same answers as model.keras on 1,000 test images" in capsys.readouterr().out


def test_a_file_that_answers_differently_is_not_written(
    published: Path,
    small_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sound = onnx.onnx_probabilities
    monkeypatch.setattr(onnx, "onnx_probabilities", lambda path, images: np.roll(sound(path, images), 1, axis=1))
    arguments = ["--repository", str(published), "--data", str(small_data), "--output", str(tmp_path / "model.onnx")]
    assert cli.run(["export", "1", "--format", "onnx", *arguments]) == 1
    assert "model.onnx differs from the Keras model: other answers on" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_version_is_not_exported(
    published: Path, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = Path(shutil.copytree(published, tmp_path / "repository"))
    (repository / "digits/1/model.keras").write_bytes(b"other")
    arguments = ["--repository", str(repository), "--data", str(small_data), "--output", str(tmp_path / "model.onnx")]
    assert cli.run(["export", "1", "--format", "onnx", *arguments]) == 1
    assert "model.keras is missing or differs from its checksum" in capsys.readouterr().err
    assert cli.run(["export", "7", "--format", "onnx", *arguments]) == 1
    assert "there is no version 7" in capsys.readouterr().err
