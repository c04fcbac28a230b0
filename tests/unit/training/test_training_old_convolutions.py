"""Convolutional networks of tf.keras 1.13 to 2.15 become the models they were."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.models.old_keras import Weights, write_h5
from support.training.old_networks import (
    DIGITS,
    GLOROT_OF_KERAS_2_2,
    ONES_OF_1_13,
    ZEROS_OF_1_13,
    Config,
    dense,
    layer,
    loaded,
    normal,
    positive,
)

from digits_training.networks import backend


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
    return layer("Conv2D", name, [of], **(old | config))


def _normalisation(class_name: str, name: str, of: str) -> Config:
    initializers = {f"{name}_initializer": ZEROS_OF_1_13 for name in ("beta", "moving_mean")}
    initializers |= {f"{name}_initializer": ONES_OF_1_13 for name in ("gamma", "moving_variance")}
    own = {"axis": [3], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True, **initializers}
    extra = {"renorm": False, "fused": True, "virtual_batch_size": None, "adjustment": None}
    return layer(class_name, name, [of], **own, **(extra if class_name.endswith("V1") else {}))


STATISTICS: Weights = {
    "gamma": positive(4),
    "beta": normal(4),
    "moving_mean": normal(4),
    "moving_variance": positive(4),
}


CONVOLUTIONAL: dict[str, Weights] = {
    "input_1": {},
    "conv2d": {"kernel": normal(3, 3, 1, 4)},
    "normalised": STATISTICS,
    "leaky": {},
    "depthwise": {"depthwise_kernel": normal(3, 3, 4, 1), "bias": normal(4)},
    "add": {},
    "pooled": {},
    "dense": {"kernel": normal(4, 10), "bias": normal(10)},
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
        layer("InputLayer", "input_1", [], **given),
        _convolution("conv2d", "input_1", 4),
        _normalisation(normalisation, "normalised", "conv2d"),
        layer("LeakyReLU", "leaky", ["normalised"], alpha=0.1),
        layer("DepthwiseConv2D", "depthwise", ["leaky"], **depthwise),
        layer("Add", "add", ["depthwise", "leaky"]),
        layer("GlobalAveragePooling2D", "pooled", ["add"], data_format="channels_last", keepdims=False),
        dense("dense", 10, "softmax") | {"name": "dense", "inbound_nodes": [[["pooled", 0, 0, {"training": False}]]]},
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
