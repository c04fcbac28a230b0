"""The networks: raw pixels in, ten probabilities out."""

import math
from collections.abc import Callable
from typing import Any

from digits_training.data import LABELS, SIDE
from digits_training.settings import STEP, Settings

STEEPNESS = 1e30  # of the step function's slope; its gradient is 0, except for features within 1e-30 of 0


def build_network(settings: Settings) -> Any:
    """A keras.Model with fresh weights: uint8[N, 28, 28], 0 to 255 → float32[N, 10], each row summing to 1."""
    import keras

    inputs = keras.Input((SIDE, SIDE), dtype="uint8", name="images")
    scaled = keras.layers.Rescaling(1 / 255)(inputs)  # inside the model, so that no caller can forget it
    features = _NETWORKS[settings.network](scaled, settings)
    outputs = keras.layers.Dense(LABELS, activation="softmax", name="probabilities")(features)
    return keras.Model(inputs, outputs, name=settings.network)


def trained_parameters(network: Any) -> int:
    """Number of parameters that gradients change; the running statistics of batch normalisation do not count."""
    return sum(math.prod(weights.shape) for weights in network.trainable_weights)


def _mlp(scaled: Any, settings: Settings) -> Any:
    from keras import layers

    features = layers.Flatten()(scaled)
    for size in settings.hidden_sizes:
        if settings.activation == STEP:
            features = _activated(layers.Dense(size)(features), settings)
        else:
            features = layers.Dense(size, activation=settings.activation)(features)
    return features


# Convolutions as (channels, kernel, stride): first 28 × 28 → 14 × 14, so that wide layers are cheap, then → 7 × 7.
# Channels are multiples of 8: the processor computes eight at a time, so 12 take as long as 16.
_FAST = ((16, 3, 2), (32, 3, 1), (64, 3, 2), (64, 3, 1))
_LARGE = ((24, 5, 2), (48, 3, 1), (64, 3, 2), (96, 3, 1), (128, 3, 1))


def _cnn(scaled: Any, settings: Settings) -> Any:
    """Fast to train: it keeps the position of each feature, so few channels are enough."""
    from keras import layers

    features = layers.Flatten()(_convolutions(scaled, _FAST, settings))
    return layers.Dropout(settings.dropout)(features)


def _cnn_large(scaled: Any, settings: Settings) -> Any:
    from keras import layers

    features = layers.GlobalAveragePooling2D()(_convolutions(scaled, _LARGE, settings))
    return layers.Dropout(settings.dropout)(features)


def _convolutions(scaled: Any, shapes: tuple[tuple[int, int, int], ...], settings: Settings) -> Any:
    from keras import layers

    features = layers.Reshape((SIDE, SIDE, 1))(scaled)
    for channels, kernel, stride in shapes:
        features = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False)(features)
        features = layers.BatchNormalization(momentum=0.9)(features)
        features = _activated(features, settings)
    return features


def _activated(features: Any, settings: Settings) -> Any:
    from keras import layers

    if settings.activation != STEP:
        return layers.Activation(settings.activation)(features)
    # The step function, made of layers that every reader of Keras files knows: a very steep line, cut off at 1.
    return layers.ReLU(max_value=1.0)(layers.Rescaling(STEEPNESS)(features))


_NETWORKS: dict[str, Callable[[Any, Settings], Any]] = {"mlp": _mlp, "cnn": _cnn, "cnn-large": _cnn_large}
