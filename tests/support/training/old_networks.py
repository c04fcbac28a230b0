"""The networks of tutorials, as tf.keras 1.13 to 2.15 wrote them, and what they answer."""

from pathlib import Path
from typing import Any

import numpy as np

from digits_training.importing import loading
from digits_training.networks import backend
from digits_training.untrusted import files
from support.models.old_keras import Weights

Config = dict[str, Any]


GLOROT_OF_1_13 = {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}}


GLOROT_OF_KERAS_2_2 = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None, "dtype": "float32"},
}


ZEROS_OF_1_13 = {"class_name": "Zeros", "config": {"dtype": "float32"}}


ONES_OF_1_13 = {"class_name": "Ones", "config": {"dtype": "float32"}}


RANDOM = np.random.default_rng(0)


DIGITS = RANDOM.random((5, 28, 28)).astype(np.float32)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(0, 0.3, shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return RANDOM.uniform(0.5, 2, shape).astype(np.float32)


def loaded(path: Path, folder: Path) -> Any:
    """What `digits-train import` loads of the file, without the process with limits that tries it first."""
    backend.start(seed=0)
    copy = folder / f"copy{path.suffix}"
    copy.write_bytes(files.private_copy(path.read_bytes(), path.suffix))
    return loading._load_copy(copy, path.name)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def dense(name: str, units: int, activation: str, **config: Any) -> Config:
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


HIDDEN: Weights = {"kernel": normal(784, 20), "bias": normal(20)}


LAST: Weights = {"kernel": normal(20, 10), "bias": normal(10)}


MLP_WEIGHTS: dict[str, Weights] = {"flatten": {}, "dense": HIDDEN, "dropout": {}, "dense_1": LAST}


MLP_ANSWERS = softmax(
    np.maximum(DIGITS.reshape(5, 784) @ HIDDEN["kernel"] + HIDDEN["bias"], 0) @ LAST["kernel"] + LAST["bias"]
)


def mlp(last_activation: str = "softmax", **first_dense: Any) -> list[Config]:
    """The layers of a tutorial's network, the shape of the images on the first of them."""
    flatten = {"name": "flatten", "trainable": True, "batch_input_shape": [None, 28, 28], "dtype": "float32"}
    return [
        {"class_name": "Flatten", "config": flatten | {"data_format": "channels_last"}},
        dense("dense", 20, "relu", **first_dense),
        {"class_name": "Dropout", "config": {"name": "dropout", "rate": 0.2, "noise_shape": None, "seed": 3}},
        dense("dense_1", 10, last_activation),
    ]


def layer(class_name: str, name: str, inputs: list[str], **config: Any) -> Config:
    """A layer of a functional model, called once, as TensorFlow 1.13 to 2.15 wrote it."""
    return {
        "class_name": class_name,
        "config": {"name": name, "trainable": True, "dtype": "float32", **config},
        "name": name,
        "inbound_nodes": [[[of, 0, 0, {}] for of in inputs]] if inputs else [],
    }
