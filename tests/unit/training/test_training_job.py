"""A complete run: the data and settings it uses, and the files it leaves."""

import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from digits_training import cli
from digits_training.conversion import keras_files
from digits_training.data import DataSet, LabelledImages
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.networks.predictions import probabilities_of
from digits_training.repository import manifest
from digits_training.settings import Settings

from .conftest import WriteDataSet


def _weights(path: Path) -> list[np.ndarray]:
    import keras

    return list(keras.models.load_model(path, compile=False).get_weights())


def _train(repository: Path, data: Path, *more: str) -> Path:
    arguments = ["--repository", str(repository), "--data", str(data), "--epochs", "1", "--min-accuracy", "0"]
    assert cli.run(["train", *arguments, *more]) == 0
    return repository / "digits/1"


class Trained(NamedTuple):
    version: Path
    saved: Path
    """What --save wrote."""
    lines: list[str]
    """What the command said."""


@pytest.fixture(scope="module")
def plain(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run with the defaults, which also saves the model for scripts. Tests only read it."""
    folder = tmp_path_factory.mktemp("plain")
    saved = folder / "deep/down/mnist_model.h5"
    with redirect_stdout(io.StringIO()) as said:
        version = _train(folder / "models", small_data, "--save", str(saved))
    return Trained(version, saved, said.getvalue().splitlines())


def test_the_test_set_decides_nothing_about_the_weights(
    plain: Trained, small: DataSet, write_data_set: WriteDataSet, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)
    other_test = LabelledImages(noise, np.repeat(np.arange(10, dtype=np.uint8), 10))
    other_data = write_data_set(tmp_path / "other", small.train, other_test)
    first, second = plain.version, _train(tmp_path / "b", other_data)
    for ours, theirs in zip(_weights(first / "model.keras"), _weights(second / "model.keras"), strict=True):
        assert np.array_equal(ours, theirs)
    assert (first / "report/history.json").read_bytes() == (second / "report/history.json").read_bytes()
    assert manifest.read(first).metrics.test_accuracy != manifest.read(second).metrics.test_accuracy


def test_choices_and_names_of_labels_are_recorded(small_data: Path, tmp_path: Path) -> None:
    names = "T-shirt,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    choices = ["--hidden-sizes", "32", "--activation", "tanh", "--optimizer", "adam", "--validation-share", "0.2"]
    version = _train(tmp_path, small_data, *choices, "--seed", "11", "--labels", names)
    assert list(manifest.read(version).labels) == names.split(",")
    assert "| Ankle boot | " in (version / "report/model_card.md").read_text()
    recorded = manifest.read(version).training
    hyperparameters = dict(recorded.hyperparameters.fields)
    assert [value.number_value for value in hyperparameters["hidden_sizes"].list_value.values] == [32]
    assert hyperparameters["activation"].string_value == "tanh"
    assert hyperparameters["optimizer"].string_value == "adam"
    assert hyperparameters["seed"].number_value == 11
    assert (recorded.training_images, recorded.validation_images) == (2400, 600)
    assert recorded.parameters == 784 * 32 + 32 + 32 * 10 + 10


def test_an_npz_file_is_trained_on_like_idx_files(plain: Trained, small: DataSet, tmp_path: Path) -> None:
    path = tmp_path / "small.npz"
    arrays: dict[str, Any] = {"x_train": small.train.images, "y_train": small.train.labels.astype(np.int64)}
    np.savez_compressed(path, x_test=small.test.images, y_test=small.test.labels, **arrays)
    second = _train(tmp_path / "b", path)
    assert manifest.read(plain.version).metrics == manifest.read(second).metrics
    assert [file.name for file in manifest.read(second).training.data] == ["small.npz"]


def test_a_saved_model_is_the_published_one_and_takes_pixels_from_0_to_1_and_from_0_to_255(
    plain: Trained, small: DataSet
) -> None:
    import keras

    assert [path.name for path in plain.saved.parent.iterdir()] == [plain.saved.name]
    model = keras.models.load_model(plain.saved)
    assert model.inputs[0].dtype == "float32"
    for ours, theirs in zip(model.get_weights(), _weights(plain.version / "model.keras"), strict=True):
        assert np.array_equal(ours, theirs)
    expected = manifest.read(plain.version).metrics.test_accuracy
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x = small.test.images
    for images in (x, x / 255, x.astype("float32")):
        _, accuracy = model.evaluate(images, small.test.labels, verbose=0)
        assert accuracy == pytest.approx(expected)


@pytest.mark.parametrize(("network", "name"), [("mlp", "model.keras"), ("cnn", "cnn.h5")])
def test_a_saved_model_of_either_network_and_format_takes_both_ranges(
    network: str, name: str, tmp_path: Path, tiny: DataSet
) -> None:
    """What --save does with a network, which need not be trained for it."""
    import keras

    backend.start(seed=1)
    built = build_network(Settings.for_network(network=network))
    keras_files.save(built, tmp_path / name)
    model = keras.models.load_model(tmp_path / name)
    assert model.inputs[0].dtype == "float32"
    x = tiny.test.images
    expected = probabilities_of(built, x)
    assert len(np.unique(expected.argmax(axis=1))) > 1  # or the test says nothing
    for images in (x, x / 255, x.astype("float32")):
        assert model.predict(images, verbose=0) == pytest.approx(expected, abs=1e-5)
    faint = np.where(x > 128, 2, 0)  # the darkest picture there is: still from 0 to 255
    assert model.predict(faint, verbose=0) == pytest.approx(model.predict(faint / 255, verbose=0), abs=1e-5)


def test_a_saved_model_can_be_imported_again(plain: Trained, small_data: Path, tmp_path: Path) -> None:
    assert f"saved {plain.saved}: takes float32[N, 28, 28], pixels from 0 to 1 or from 0 to 255" in plain.lines
    arguments = ["--repository", str(tmp_path), "--data", str(small_data), "--min-accuracy", "0"]
    assert cli.run(["import", str(plain.saved), *arguments]) == 0
    before, after = (manifest.read(folder).metrics for folder in (plain.version, tmp_path / "digits/1"))
    assert before.test_accuracy == after.test_accuracy


def test_the_summary_comes_before_training_and_the_plot_is_named_at_the_end(plain: Trained) -> None:
    lines = plain.lines
    summary, epoch = (next(i for i, line in enumerate(lines) if text in line) for text in ("Total params", "epoch 1/1"))
    assert summary < epoch
    assert lines[-2] == f"plot of loss and accuracy: {plain.version / 'report/history.png'}"
    assert lines[-1].startswith("record of this run: ")


def test_without_validation_all_images_are_trained_on_and_a_network_of_step_functions_is_proved_equal(
    small_data: Path, tmp_path: Path
) -> None:
    version = _train(tmp_path, small_data, "--validation-share", "0", "--activation", "step")
    recorded = manifest.read(version)
    assert (recorded.training.training_images, recorded.training.validation_images) == (3000, 0)
    assert recorded.training.hyperparameters["activation"] == "step"
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


def test_another_runs_versions_stay_as_they_are(published: Path, small_data: Path, tmp_path: Path) -> None:
    repository = Path(shutil.copytree(published, tmp_path / "repository"))
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    _train(repository, small_data, "--force")
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in (repository / "digits").iterdir()) == ["1", "2"]
