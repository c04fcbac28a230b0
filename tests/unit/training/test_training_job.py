"""A complete run: the data and settings it uses, and the files it leaves."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_training import cli
from digits_training.data import DataSet, LabelledImages
from digits_training.repository import manifest

from .conftest import WriteDataSet


def _weights(path: Path) -> list[np.ndarray]:
    import keras

    return list(keras.models.load_model(path, compile=False).get_weights())


def _train(repository: Path, data: Path, *more: str) -> Path:
    arguments = ["--repository", str(repository), "--data", str(data), "--epochs", "1", "--min-accuracy", "0"]
    assert cli.run(["train", *arguments, *more]) == 0
    return repository / "digits/1"


def test_the_test_set_decides_nothing_about_the_weights(
    small: DataSet, small_data: Path, write_data_set: WriteDataSet, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)
    other_test = LabelledImages(noise, np.repeat(np.arange(10, dtype=np.uint8), 10))
    other_data = write_data_set(tmp_path / "other", small.train, other_test)
    first, second = _train(tmp_path / "a", small_data), _train(tmp_path / "b", other_data)
    for ours, theirs in zip(_weights(first / "model.keras"), _weights(second / "model.keras"), strict=True):
        assert np.array_equal(ours, theirs)
    assert (first / "report/history.json").read_bytes() == (second / "report/history.json").read_bytes()
    assert manifest.read(first).metrics.test_accuracy != manifest.read(second).metrics.test_accuracy


def test_labels_have_the_names_they_are_given(small_data: Path, tmp_path: Path) -> None:
    names = "T-shirt,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    version = _train(tmp_path, small_data, "--labels", names)
    assert list(manifest.read(version).labels) == names.split(",")
    assert "| Ankle boot | " in (version / "report/model_card.md").read_text()


def test_choices_are_recorded_in_the_manifest(small_data: Path, tmp_path: Path) -> None:
    choices = ["--hidden-sizes", "32", "--activation", "tanh", "--optimizer", "adam", "--validation-share", "0.2"]
    recorded = manifest.read(_train(tmp_path, small_data, *choices, "--seed", "11")).training
    hyperparameters = dict(recorded.hyperparameters.fields)
    assert [value.number_value for value in hyperparameters["hidden_sizes"].list_value.values] == [32]
    assert hyperparameters["activation"].string_value == "tanh"
    assert hyperparameters["optimizer"].string_value == "adam"
    assert hyperparameters["seed"].number_value == 11
    assert (recorded.training_images, recorded.validation_images) == (2400, 600)
    assert recorded.parameters == 784 * 32 + 32 + 32 * 10 + 10


def test_an_npz_file_is_trained_on_like_idx_files(small: DataSet, small_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    arrays: dict[str, Any] = {"x_train": small.train.images, "y_train": small.train.labels.astype(np.int64)}
    np.savez_compressed(path, x_test=small.test.images, y_test=small.test.labels, **arrays)
    first, second = _train(tmp_path / "a", small_data), _train(tmp_path / "b", path)
    assert manifest.read(first).metrics == manifest.read(second).metrics
    assert [file.name for file in manifest.read(second).training.data] == ["small.npz"]


@pytest.mark.parametrize(("network", "name"), [("mlp", "mnist_model.h5"), ("mlp", "model.keras"), ("cnn", "cnn.h5")])
def test_a_saved_model_takes_pixels_from_0_to_1_and_from_0_to_255(
    network: str, name: str, tiny_data: Path, tmp_path: Path, tiny: DataSet
) -> None:
    import keras

    saved = tmp_path / "deep/down" / name
    version = _train(tmp_path / "models", tiny_data, "--network", network, "--save", str(saved))
    assert [path.name for path in saved.parent.iterdir()] == [name]
    model = keras.models.load_model(saved)
    assert model.inputs[0].dtype == "float32"
    for ours, theirs in zip(model.get_weights(), _weights(version / "model.keras"), strict=True):
        assert np.array_equal(ours, theirs)
    expected = manifest.read(version).metrics.test_accuracy
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x = tiny.test.images
    for images in (x, x / 255, x.astype("float32")):
        _, accuracy = model.evaluate(images, tiny.test.labels, verbose=0)
        assert accuracy == pytest.approx(expected)
    faint = np.where(x > 128, 2, 0)  # the darkest picture there is: still from 0 to 255
    assert model.predict(faint, verbose=0) == pytest.approx(model.predict(faint / 255, verbose=0), abs=1e-5)


def test_a_saved_model_can_be_imported_again(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "mnist_model.h5"
    version = _train(tmp_path / "models", small_data, "--save", str(saved))
    assert f"saved {saved}: takes float32[N, 28, 28], pixels from 0 to 1 or from 0 to 255" in capsys.readouterr().out
    arguments = ["--repository", str(tmp_path / "models"), "--data", str(small_data), "--min-accuracy", "0"]
    assert cli.run(["import", str(saved), *arguments]) == 0
    before, after = (manifest.read(folder).metrics for folder in (version, version.with_name("2")))
    assert before.test_accuracy == after.test_accuracy


def test_the_summary_comes_before_training_and_the_plot_is_named_at_the_end(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = _train(tmp_path, small_data)
    lines = capsys.readouterr().out.splitlines()
    summary, epoch = (next(i for i, line in enumerate(lines) if text in line) for text in ("Total params", "epoch 1/1"))
    assert summary < epoch
    assert lines[-2] == f"plot of loss and accuracy: {version / 'report/history.png'}"
    assert lines[-1].startswith("record of this run: ")


def test_without_validation_all_images_are_trained_on(small_data: Path, tmp_path: Path) -> None:
    version = _train(tmp_path, small_data, "--validation-share", "0")
    recorded = manifest.read(version)
    assert (recorded.training.training_images, recorded.training.validation_images) == (3000, 0)
    assert "validation" not in (version / "report/history.json").read_text()
    assert "Validation: accuracy" not in (version / "report/model_card.md").read_text()
    assert cli.run(["evaluate", "1", "--repository", str(tmp_path), "--data", str(small_data)]) == 0


def test_the_manifest_has_the_figures_of_the_epoch_whose_weights_are_published(
    small: DataSet, write_data_set: WriteDataSet, tmp_path: Path
) -> None:
    """Random labels can only be learned by heart, so images that it has not seen get worse with each epoch."""
    labels = np.random.default_rng(0).permutation(small.train.labels)
    data = write_data_set(tmp_path / "data", LabelledImages(small.train.images, labels), small.test)
    version = _train(tmp_path, data, "--epochs", "12", "--learning-rate", "0.3", "--best-epoch")
    losses = json.loads((version / "report/history.json").read_text())["val_loss"]
    assert min(losses) < losses[-1]  # or the test says nothing
    assert manifest.read(version).metrics.validation_loss == pytest.approx(min(losses))
    assert cli.run(["evaluate", "1", "--repository", str(tmp_path), "--data", str(data)]) == 0


def test_a_network_of_step_functions_is_trained_published_and_proved_equal(small_data: Path, tmp_path: Path) -> None:
    version = _train(tmp_path, small_data, "--activation", "step")
    assert manifest.read(version).training.hyperparameters["activation"] == "step"
    assert cli.run(["evaluate", "1", "--repository", str(tmp_path), "--data", str(small_data)]) == 0


def test_another_runs_versions_stay_as_they_are(published: Path, small_data: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(published, tmp_path / "repository"))
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    _train(repository, small_data, "--force")
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in (repository / "digits").iterdir()) == ["1", "2"]
