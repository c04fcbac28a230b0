"""Models made elsewhere become versions like ours, whatever input they were made for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_training import cli
from digits_training.data import DataSet, LabelledImages
from digits_training.errors import ModelFileError
from digits_training.importing import adapting, loading
from digits_training.networks import backend
from digits_training.networks.predictions import probabilities_of
from digits_training.repository import manifest

Build = Callable[..., Any]


@pytest.fixture(scope="session")
def sample(small: DataSet) -> LabelledImages:
    return small.train.take(np.arange(500))


@pytest.fixture(scope="session")
def build(small: DataSet) -> Build:
    """Makes a Keras model of somebody else's, trained a little: from its input shape and highest pixel value."""

    def build(shape: tuple[int, ...], highest: float, *, first: Any = (), last: str = "softmax") -> Any:
        backend.start(seed=0)
        import keras

        hidden = [keras.layers.Flatten(), keras.layers.Dense(32, activation="relu"), keras.layers.Dropout(0.1)]
        model = keras.Sequential([keras.Input(shape), *first, *hidden, keras.layers.Dense(10, activation=last)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=last == "linear")
        model.compile(optimizer=keras.optimizers.Adam(0.003), loss=loss)
        pixels = small.train.images.reshape(-1, *shape) * np.float32(highest / 255)
        model.fit(pixels, small.train.labels, batch_size=50, epochs=1, verbose=0)
        return model

    return build


@pytest.mark.parametrize(
    ("shape", "wanted"), [((28, 28), "0-1"), ((784,), "0-255"), ((28, 28, 1), "0-1"), ((28, 28, 1), "0-255")]
)
def test_the_input_it_wants_is_found_out(
    shape: tuple[int, ...], wanted: str, build: Build, sample: LabelledImages, small: DataSet
) -> None:
    highest = float(wanted.removeprefix("0-"))
    original = build(shape, highest)
    adapted, pixel_range = adapting.adapt(original, sample, "auto")
    assert pixel_range == wanted
    assert (adapted.input_shape, adapted.inputs[0].dtype) == ((None, 28, 28), "uint8")
    expected = original.predict(small.test.images.reshape(-1, *shape) * np.float32(highest / 255), verbose=0)
    assert probabilities_of(adapted, small.test.images) == pytest.approx(expected, abs=1e-5)


def test_a_rescaling_inside_is_understood(build: Build, sample: LabelledImages) -> None:
    import keras

    original = build((28, 28), 255.0, first=[keras.layers.Rescaling(1 / 255)])
    assert adapting.adapt(original, sample, "auto")[1] == "0-255"


def test_who_knows_the_range_can_say_it(sample: LabelledImages) -> None:
    assert adapting.adapt(_bare((784,), 10), sample, "0-255")[1] == "0-255"


def test_logits_become_probabilities(build: Build, sample: LabelledImages) -> None:
    adapted, _ = adapting.adapt(build((784,), 1.0, last="linear"), sample, "auto")
    probabilities = probabilities_of(adapted, sample.images)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(500), abs=1e-5)
    assert (probabilities.argmax(axis=1) == sample.labels).mean() > 0.7


def _bare(shape: tuple[int, ...], outputs: int) -> Any:
    backend.start(seed=0)
    import keras

    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(outputs)])


@pytest.mark.parametrize(
    ("shape", "outputs", "sentence"),
    [
        ((32, 32, 3), 10, r"takes \[32, 32, 3\], not \[28, 28\], \[784\] or \[28, 28, 1\]"),
        ((784,), 11, r"returns \[11\], not \[10\]"),
    ],
)
def test_a_model_of_something_else_is_refused(
    shape: tuple[int, ...], outputs: int, sentence: str, sample: LabelledImages
) -> None:
    with pytest.raises(ModelFileError, match=sentence):
        adapting.adapt(_bare(shape, outputs), sample, "auto")


def test_a_model_of_nan_is_refused(sample: LabelledImages) -> None:
    model = _bare((784,), 10)
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    with pytest.raises(ModelFileError, match="not finite"):
        adapting.adapt(model, sample, "auto")


@pytest.fixture(scope="session")
def convolutional(small: DataSet) -> Any:
    """A functional model with the layers a digit classifier may have: branches, batch norm, pooling, padding."""
    backend.start(seed=0)
    import keras
    from keras import layers

    inputs = keras.Input((28, 28, 1))
    x = layers.ZeroPadding2D(1)(layers.Rescaling(2.0, offset=-1.0)(inputs))
    x = layers.Conv2D(6, 3, strides=2, kernel_regularizer="l2")(x)
    x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    x = layers.Add()([layers.Conv2D(6, 3, padding="same", activation="tanh")(x), x])
    x = layers.Concatenate()([layers.MaxPooling2D()(x), layers.AveragePooling2D(2)(x)])
    x = layers.Dropout(0.2)(layers.DepthwiseConv2D(3, activation="relu")(x))
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.Flatten()(x)])
    outputs = layers.Dense(10, activation="softmax")(layers.Dense(16, activation="sigmoid")(x))
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    pixels = small.train.images[..., np.newaxis] / np.float32(255)
    model.fit(pixels, small.train.labels, batch_size=50, epochs=1, verbose=0)
    return model


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "saved_model"])
def test_every_format_gives_the_same_model(name: str, convolutional: Any, small: DataSet, tmp_path: Path) -> None:
    with backend.quiet():
        if name == "saved_model":
            convolutional.export(tmp_path / name, verbose=False)
        else:
            convolutional.save(tmp_path / name)
    loaded = loading.load(tmp_path / name)
    pixels = small.test.images[:200, ..., np.newaxis] / np.float32(255)
    assert np.asarray(loaded(pixels)) == pytest.approx(convolutional.predict(pixels, verbose=0), abs=1e-5)


def test_a_saved_model_of_the_mlp_can_be_imported(small: DataSet, tmp_path: Path, build: Build) -> None:
    original = build((28, 28), 1.0)
    with backend.quiet():
        original.export(tmp_path / "saved", verbose=False)
    pixels = small.test.images[:200] / np.float32(255)
    assert np.asarray(loading.load(tmp_path / "saved")(pixels)) == pytest.approx(
        original.predict(pixels, verbose=0), abs=1e-5
    )


def test_a_file_of_keras_2_can_be_imported(build: Build, tmp_path: Path) -> None:
    """Keras 2 wrote no modules, and `batch_input_shape` on the first layer."""
    import h5py

    original = build((784,), 1.0)
    path = tmp_path / "old.h5"
    with backend.quiet():
        original.save(path)
    dense = {"trainable": True, "dtype": "float32", "use_bias": True}
    glorot = {"class_name": "GlorotUniform", "config": {"seed": None}}
    names = [layer.name for layer in original.layers]
    shape = {"batch_input_shape": [None, 784], "dtype": "float32"}
    layers = [
        {"class_name": "InputLayer", "config": {"name": "flatten_input", "sparse": False, "ragged": False, **shape}},
        {"class_name": "Flatten", "config": {"name": names[0], "trainable": True, **shape}},
        {
            "class_name": "Dense",
            "config": {"name": names[1], "units": 32, "activation": "relu", "kernel_initializer": glorot, **dense},
        },
        {"class_name": "Dropout", "config": {"name": names[2], "rate": 0.1}},
        {"class_name": "Dense", "config": {"name": names[3], "units": 10, "activation": "softmax", **dense}},
    ]
    with h5py.File(path, "r+") as file:
        config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
    loaded = loading.load(path)
    for ours, theirs in zip(loaded.get_weights(), original.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def test_an_imported_model_is_published_like_any_other(
    build: Build, small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mnist_model.h5"
    with backend.quiet():
        build((784,), 1.0).save(path)
    arguments = ["--repository", str(tmp_path), "--data", str(small_data), "--min-accuracy", "0.6"]
    assert cli.run(["import", str(path), *arguments]) == 0
    assert "pixels from 0 to 1" in capsys.readouterr().out
    recorded = manifest.read(tmp_path / "digits/1")
    assert recorded.training.network == "imported"
    assert recorded.training.imported_file == manifest.model_file(path, tmp_path)
    assert recorded.training.hyperparameters["pixel_range"] == "0-1"
    assert len(recorded.golden_images) == 20
    assert "Imported from `mnist_model.h5`" in (tmp_path / "digits/1/report/model_card.md").read_text()
    assert not (tmp_path / "digits/1/report/history.png").exists()
    assert cli.run(["evaluate", "1", "--repository", str(tmp_path), "--data", str(small_data)]) == 0

    assert cli.run(["import", str(path), *arguments, "--min-accuracy", "0.999"]) == 3
    assert not (tmp_path / "digits/2").exists()


@pytest.mark.parametrize("name", ["model.pkl", "model.onnx", "model"])
def test_other_kinds_of_files_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(ModelFileError, match=r"is not a \.keras file, an \.h5 file or a SavedModel folder"):
        loading.load(tmp_path / name)
