"""Files of tf.keras 1.13 to 2.15, as people have published them, become the models they were."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.models.old_keras import Weights, write_h5

from digits_training import cli
from digits_training.errors import ModelFileError
from digits_training.importing import loading
from digits_training.networks import backend
from digits_training.untrusted import files

Config = dict[str, Any]

GLOROT_OF_1_13 = {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}}
GLOROT_OF_KERAS_2_2 = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None, "dtype": "float32"},
}
ZEROS_OF_1_13 = {"class_name": "Zeros", "config": {"dtype": "float32"}}
ONES_OF_1_13 = {"class_name": "Ones", "config": {"dtype": "float32"}}
REGULARIZER_OF_ONES_OWN = {"class_name": "MyRegularizer", "config": {"strength": 0.1}}
RANDOM = np.random.default_rng(0)
DIGITS = RANDOM.random((5, 28, 28)).astype(np.float32)


def _normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(0, 0.3, shape).astype(np.float32)


def _positive(*shape: int) -> np.ndarray:
    return RANDOM.uniform(0.5, 2, shape).astype(np.float32)


def loaded(path: Path, folder: Path) -> Any:
    """What `digits-train import` loads of the file, without the process with limits that tries it first."""
    backend.start(seed=0)
    copy = folder / f"copy{path.suffix}"
    copy.write_bytes(files.private_copy(path.read_bytes(), path.suffix))
    return loading._load_copy(copy, path.name)


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _dense(name: str, units: int, activation: str, **config: Any) -> Config:
    old = {
        "name": name,
        "trainable": True,
        "dtype": "float32",
        "units": units,
        "activation": activation,
        "use_bias": True,
        "kernel_initializer": GLOROT_OF_1_13,
        "bias_initializer": ZEROS_OF_1_13,
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    }
    return {"class_name": "Dense", "config": old | config}


HIDDEN: Weights = {"kernel": _normal(784, 20), "bias": _normal(20)}
LAST: Weights = {"kernel": _normal(20, 10), "bias": _normal(10)}
MLP_WEIGHTS: dict[str, Weights] = {"flatten": {}, "dense": HIDDEN, "dropout": {}, "dense_1": LAST}
MLP_ANSWERS = _softmax(
    np.maximum(DIGITS.reshape(5, 784) @ HIDDEN["kernel"] + HIDDEN["bias"], 0) @ LAST["kernel"] + LAST["bias"]
)


def mlp(last_activation: str = "softmax", **first_dense: Any) -> list[Config]:
    """The layers of a tutorial's network, the shape of the images on the first of them."""
    flatten = {"name": "flatten", "trainable": True, "batch_input_shape": [None, 28, 28], "dtype": "float32"}
    return [
        {"class_name": "Flatten", "config": flatten | {"data_format": "channels_last"}},
        _dense("dense", 20, "relu", **first_dense),
        {"class_name": "Dropout", "config": {"name": "dropout", "rate": 0.2, "noise_shape": None, "seed": 3}},
        _dense("dense_1", 10, last_activation),
    ]


@pytest.mark.parametrize(
    ("version", "model"),
    [
        ("2.2.4-tf", {"name": "sequential", "layers": mlp("softmax_v2")}),
        (
            "2.2.4-tf",
            {"name": "sequential", "layers": mlp(dtype={"class_name": "Policy", "config": {"name": "float32"}})},
        ),
        ("2.1.6", mlp(kernel_initializer=GLOROT_OF_KERAS_2_2)),
        ("2.4.0", {"name": "sequential", "layers": mlp(kernel_regularizer=REGULARIZER_OF_ONES_OWN)}),
        ("2.15.0", {"name": "sequential", "layers": mlp(), "build_input_shape": [None, 28, 28]}),
    ],
    ids=["tf 1.13", "tf 1.15", "keras 2.1", "tf 2.4", "tf 2.15"],
)
def test_the_network_of_a_tutorial(version: str, model: Any, tmp_path: Path) -> None:
    config = {"class_name": "Sequential", "config": model}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version=version)
    assert np.asarray(loaded(path, tmp_path)(DIGITS)) == pytest.approx(MLP_ANSWERS, abs=1e-5)


def test_an_old_file_becomes_a_version(small_data: Path, tmp_path: Path) -> None:
    """Through the command, the process with limits and the conversion."""
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": mlp("softmax_v2")}}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version="2.2.4-tf")
    options = ["--repository", str(tmp_path), "--data", str(small_data), "--min-accuracy", "0"]
    assert cli.run(["import", str(path), *options]) == 0
    assert (tmp_path / "digits/1/model.tflite").exists()


def _layer(class_name: str, name: str, inputs: list[str], **config: Any) -> Config:
    """A layer of a functional model, called once, as TensorFlow 1.13 to 2.15 wrote it."""
    return {
        "class_name": class_name,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
        "name": name,
        "inbound_nodes": [[[of, 0, 0, {}] for of in inputs]] if inputs else [],
    }


def _convolution(name: str, of: str, filters: int, **config: Any) -> Config:
    old = {
        "filters": filters,
        "kernel_size": [3, 3],
        "strides": [2, 2],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "activation": "linear",
        "use_bias": False,
        "kernel_initializer": GLOROT_OF_KERAS_2_2,
        "bias_initializer": ZEROS_OF_1_13,
    }
    return _layer("Conv2D", name, [of], **(old | config))


def _normalisation(class_name: str, name: str, of: str) -> Config:
    initializers = {f"{name}_initializer": ZEROS_OF_1_13 for name in ("beta", "moving_mean")}
    initializers |= {f"{name}_initializer": ONES_OF_1_13 for name in ("gamma", "moving_variance")}
    own = {"axis": [3], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True, **initializers}
    extra = {"renorm": False, "fused": True, "virtual_batch_size": None, "adjustment": None}
    return _layer(class_name, name, [of], **own, **(extra if class_name.endswith("V1") else {}))


STATISTICS: Weights = {
    "gamma": _positive(4),
    "beta": _normal(4),
    "moving_mean": _normal(4),
    "moving_variance": _positive(4),
}
CONVOLUTIONAL: dict[str, Weights] = {
    "input_1": {},
    "conv2d": {"kernel": _normal(3, 3, 1, 4)},
    "normalised": STATISTICS,
    "leaky": {},
    "depthwise": {"depthwise_kernel": _normal(3, 3, 4, 1), "bias": _normal(4)},
    "add": {},
    "pooled": {},
    "dense": {"kernel": _normal(4, 10), "bias": _normal(10)},
}


def convolutional(normalisation: str, model_class: str) -> Config:
    given = {"batch_input_shape": [None, 28, 28, 1], "sparse": False, "ragged": False}
    depthwise = {
        "kernel_size": [3, 3],
        "strides": [1, 1],
        "padding": "same",
        "data_format": "channels_last",
        "dilation_rate": [1, 1],
        "groups": 1,
        "activation": "relu",
        "use_bias": True,
        "depth_multiplier": 1,
        "depthwise_initializer": GLOROT_OF_KERAS_2_2,
    }
    layers = [
        _layer("InputLayer", "input_1", [], **given),
        _convolution("conv2d", "input_1", 4),
        _normalisation(normalisation, "normalised", "conv2d"),
        _layer("LeakyReLU", "leaky", ["normalised"], alpha=0.1),
        _layer("DepthwiseConv2D", "depthwise", ["leaky"], **depthwise),
        _layer("Add", "add", ["depthwise", "leaky"]),
        _layer("GlobalAveragePooling2D", "pooled", ["add"], data_format="channels_last", keepdims=False),
        _dense("dense", 10, "softmax") | {"name": "dense", "inbound_nodes": [[["pooled", 0, 0, {"training": False}]]]},
    ]
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [["dense", 0, 0]]}
    return {"class_name": model_class, "config": {"name": "model", "layers": layers, **ends}}


def _today() -> Any:
    """The same network in the Keras of today, with the same weights."""
    backend.start(seed=0)
    import keras
    from keras import layers

    inputs = keras.Input((28, 28, 1))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(inputs))
    x = layers.LeakyReLU(negative_slope=0.1)(x)
    x = layers.Add()([layers.DepthwiseConv2D(3, padding="same", activation="relu")(x), x])
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x)))
    model.set_weights([value for values in CONVOLUTIONAL.values() for value in values.values()])
    return model


@pytest.mark.parametrize(
    ("version", "normalisation", "model_class"),
    [
        ("2.2.4-tf", "BatchNormalizationV1", "Model"),
        ("2.3.0-tf", "BatchNormalizationV2", "Model"),
        ("2.15.0", "BatchNormalization", "Functional"),
    ],
)
def test_a_convolutional_network(version: str, normalisation: str, model_class: str, tmp_path: Path) -> None:
    config = convolutional(normalisation, model_class)
    path = write_h5(tmp_path / "old.h5", config, CONVOLUTIONAL, version=version)
    images = DIGITS[..., np.newaxis]
    assert np.asarray(loaded(path, tmp_path)(images)) == pytest.approx(np.asarray(_today()(images)), abs=1e-5)


def test_a_layer_with_keras_2_13s_own_description_of_its_making(tmp_path: Path) -> None:
    layers = mlp(kernel_initializer=GLOROT_OF_1_13 | {"module": "keras.initializers", "registered_name": None})
    for layer in layers:
        layer |= {"module": "keras.layers", "registered_name": None, "build_config": {"input_shape": [None, 784]}}
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version="2.13.1")
    assert np.asarray(loaded(path, tmp_path)(DIGITS)) == pytest.approx(MLP_ANSWERS, abs=1e-5)


def test_a_function_that_changed_with_keras_3_is_refused(tmp_path: Path) -> None:
    """`hard_sigmoid` had the slope 1/5 in Keras 2 and has 1/6 since: the answers would be others, without a word."""
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": mlp("hard_sigmoid")}}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version="2.15.0")
    with pytest.raises(ModelFileError, match="activation 'hard_sigmoid' is another function in Keras 3"):
        files.private_copy(path.read_bytes(), ".h5")


def test_a_recurrent_layer_is_refused_by_name(tmp_path: Path) -> None:
    layers = [*mlp()[:1], {"class_name": "CuDNNLSTM", "config": {"name": "lstm", "units": 8, "time_major": False}}]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version="2.2.4-tf")
    with pytest.raises(ModelFileError, match="'CuDNNLSTM' is not among the layers taken"):
        files.private_copy(path.read_bytes(), ".h5")


def test_a_configuration_longer_than_an_hdf5_attribute_of_bytes(tmp_path: Path) -> None:
    dropouts = [{"class_name": "Dropout", "config": {"name": f"dropout_{i}", "rate": 0.2}} for i in range(1_000)]
    config: Config = {"class_name": "Sequential", "config": {"name": "deep", "layers": [*mlp(), *dropouts]}}
    path = write_h5(tmp_path / "deep.h5", config | {"config": {}}, MLP_WEIGHTS, version="2.15.0")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
        assert len(file.attrs["model_config"]) > 2**16
    copy = files.private_copy(path.read_bytes(), ".h5")
    assert len(files.checked(copy, ".h5")["config"]["layers"]) == 1_005
