"""The Keras model in a file of the user's choice, in Keras's own formats."""

import tempfile
from pathlib import Path
from typing import Any

from digits_training.data import SIDE
from digits_training.networks.backend import quiet

TAKES = "float32[N, 28, 28], pixels from 0 to 1 or from 0 to 255"


def save(network: Any, path: Path) -> None:
    """Writes `network` to a .keras or legacy .h5 file, complete or not at all, compiled for use in scripts.

    The saved model takes what TAKES says. Raises OSError.
    """
    model = of_floats(network)
    # SGD has no state per weight. An unused optimizer with such a state could not be loaded again.
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=path.parent) as folder:
        incoming = Path(folder) / path.name
        with quiet():  # Keras warns about .h5, but the user asked for it
            model.save(incoming)
        incoming.replace(path)


def of_floats(network: Any) -> Any:
    """`network`, which takes bytes, as a keras.Model of float32[N, 28, 28], with the same weights.

    Some scripts divide pixels by 255 and some do not, and the wrong scale gives wrong answers without an error. So the
    model decides for each image: if its brightest pixel is at most 1, its pixels are from 0 to 1. On the scale from 0
    to 255, no digit is that dark.
    """
    import keras
    from keras import layers

    images = keras.Input((SIDE, SIDE), name="images")
    brightest = layers.GlobalMaxPooling2D(keepdims=True)(layers.Reshape((SIDE, SIDE, 1))(images))
    above_one = layers.ReLU(max_value=1.0)(layers.Rescaling(1.0, offset=-1.0)(brightest))  # 0, or 1 from 2 on
    factor = layers.Reshape((1, 1))(layers.Rescaling(1.0 - 255.0, offset=255.0)(above_one))  # 255, or 1
    features = layers.Multiply()([images, factor])
    for layer in network.layers[1:]:
        features = layer(features)
    return keras.Model(images, features, name="digits")
