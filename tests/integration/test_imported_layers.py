"""The server accepts every model that `digits-train import` accepts and converts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_server.runtimes.litert import LiteRTRuntime
from digits_training.conversion.litert import convert


def _layers(inputs: Any) -> Any:
    """A network of the layers that TensorFlow's converter turns into separate operators."""
    from keras import layers

    one = layers.ZeroPadding2D(2)(layers.Reshape((28, 28, 1))(inputs))
    one = layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation="selu")(one)
    one = layers.Cropping2D(((1, 0), (0, 3)))(one)
    one = layers.GroupNormalization(2)(one)
    two = layers.DepthwiseConv2D(3, dilation_rate=2, depth_multiplier=2)(one)
    two = layers.PReLU(shared_axes=[1, 2])(layers.LayerNormalization()(two))
    two = layers.Dense(4, activation="squareplus")(layers.AveragePooling2D(2)(two))
    two = layers.Softmax(axis=[1, 2])(layers.Permute((2, 1, 3))(two))
    three = layers.Dense(4)(layers.GlobalMaxPooling2D()(one))
    joined = layers.Add()([two, three])  # of two axes, given more
    joined = layers.Concatenate()([layers.Maximum()([joined, two]), layers.Minimum()([joined, two])])
    return layers.Dense(10, activation="softmax")(layers.Flatten()(joined))


def test_a_network_of_unusual_layers_is_served(tmp_path: Path) -> None:
    import keras

    images = keras.Input((28, 28), dtype="uint8")
    network = keras.Model(images, _layers(keras.layers.Rescaling(1 / 255)(images)))
    convert(network, tmp_path / "model.tflite")
    runtime = LiteRTRuntime(tmp_path.joinpath("model.tflite").read_bytes())
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    assert runtime.predict(pixels) == pytest.approx(np.asarray(network(pixels)), abs=1e-4)
