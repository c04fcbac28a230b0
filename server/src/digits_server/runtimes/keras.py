"""The Keras runtime: `model.keras`, or a bare `.keras` or `.h5` file, computed by TensorFlow.

Needs the extra `keras`. TensorFlow takes seconds to import, so this module is imported only if needed.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from digits_server.errors import ModelRejected, OperatorError
from digits_server.runtimes import Images, Probabilities, in_pieces, padded_size

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides TensorFlow's notes at its start
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

try:
    import keras
    import tensorflow as tf
except ImportError as missing:
    raise OperatorError("the Keras runtime needs TensorFlow: install digits-server with its extra 'keras'") from missing

LARGEST_SHAPE = 1024
"""Images of the largest shape that is traced; larger batches run in pieces of this size."""

INPUT_SHAPES = ((28, 28), (28, 28, 1), (784,))


class KerasRuntime:
    """A Keras classifier of 28 × 28 images into ten classes, compiled into one TensorFlow function per batch shape."""

    name = "keras"
    largest_shape = LARGEST_SHAPE

    def __init__(self, path: Path, *, scale: float = 1.0) -> None:
        """Loads `path` in Keras's safe mode, which rejects code in the file.

        `scale` multiplies the raw 0…255 pixels before the model: 1/255 for a model that takes 0…1. Raises ModelRejected
        if the file is not such a classifier.
        """
        model = self._load(path)
        shape = tuple(model.input_shape[1:])

        @tf.function(autograph=False)  # type: ignore[untyped-decorator] # TensorFlow has no types
        def forward(images: Any) -> Any:
            pixels = tf.reshape(images, (-1, *shape))
            if scale != 1.0:
                pixels = tf.cast(pixels, tf.float32) * scale
            return tf.cast(model(pixels, training=False), tf.float32)

        self._forward = forward
        self.scales_itself = any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)

    def predict(self, images: Images) -> Probabilities:
        return in_pieces(self._run, images, LARGEST_SHAPE)

    def _run(self, images: Images) -> Probabilities:
        count = len(images)
        padded = np.zeros((padded_size(count, LARGEST_SHAPE), 28, 28), np.uint8)
        padded[:count] = images
        probabilities: Probabilities = self._forward(tf.constant(padded)).numpy()[:count]
        return probabilities

    @staticmethod
    def _load(path: Path) -> Any:
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises errors of many types: ValueError, TypeError, KeyError, OSError, …
            raise ModelRejected("load", f"{path.name} cannot be loaded as a Keras model without code in it") from error
        found = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
        if found not in [((None, *shape), (None, 10)) for shape in INPUT_SHAPES]:
            raise ModelRejected(
                "load", f"{path.name} must take 28 × 28, 28 × 28 × 1 or 784 pixels and give 10 probabilities"
            )
        return model
