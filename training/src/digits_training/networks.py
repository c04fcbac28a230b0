"""The networks: raw pixels in, ten probabilities out."""

import math
from collections.abc import Callable
from typing import Any

from digits_training.data import LABELS, SIDE
from digits_training.settings import Settings


def build_network(settings: Settings) -> Any:
    """A keras.Model with fresh weights: uint8[N, 28, 28], 0 to 255 → float32[N, 10], each row summing to 1."""
    import keras

    inputs = keras.Input((SIDE, SIDE), dtype="uint8", name="images")
    scaled = keras.layers.Rescaling(1 / 255)(inputs)  # inside the model, so that no caller can forget it
    features = _NETWORKS[settings.network](scaled, settings)
    outputs = keras.layers.Dense(LABELS, activation="softmax", name="probabilities")(features)
    return keras.Model(inputs, outputs, name=settings.network)


def trained_parameters(network: Any) -> int:
    """Number of parameters that training changes by gradient; batch normalisation keeps others."""
    return sum(math.prod(weights.shape) for weights in network.trainable_weights)


def _mlp(scaled: Any, settings: Settings) -> Any:
    from keras import layers

    features = layers.Flatten()(scaled)
    for size in settings.hidden_sizes:
        features = layers.Dense(size, activation=settings.activation)(features)
    return features


def _cnn(scaled: Any, settings: Settings) -> Any:
    from keras import layers

    features = layers.Reshape((SIDE, SIDE, 1))(scaled)
    # (channels, kernel, stride): 28 × 28 → 14 × 14 at once, so that the wide layers are cheap, then → 7 × 7.
    for channels, kernel, stride in ((24, 5, 2), (48, 3, 1), (64, 3, 2), (96, 3, 1), (128, 3, 1)):
        features = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(features)
        features = layers.BatchNormalization(momentum=0.9)(features)
        features = layers.Activation(settings.activation)(features)
    return layers.Dropout(settings.dropout)(layers.GlobalAveragePooling2D()(features))


_NETWORKS: dict[str, Callable[[Any, Settings], Any]] = {"mlp": _mlp, "cnn": _cnn}
