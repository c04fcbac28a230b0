"""A published version as the candidates need it: what model.tflite answers, and what model.keras has inside."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.unlike import scores
from benchmarks.unlike.figures import Scores
from benchmarks.unlike.kinds import Images
from benchmarks.unlike.scores import Array
from digits_server.runtimes.litert import LiteRTRuntime
from digits_training.data import LabelledImages

BATCH = 1000
"""Images that Keras computes at once."""

NEAREST_SHARE = 2
"""The nearest neighbour is looked for among one of this many of the training images."""

QUARTERS = "class means, quarters"

SERVED = "unlike.tflite, as served"
"""The score that callers get, if the version has it."""


class Network:
    """Answers of one version, and every candidate's score."""

    def __init__(self, version: Path, train: LabelledImages) -> None:
        """Measures the features of `train`. The files are trusted: the user made them."""
        import keras

        self._runtime = LiteRTRuntime((version / "model.tflite").read_bytes())
        file = version / "unlike.tflite"
        self._served = LiteRTRuntime(file.read_bytes(), file.name) if file.exists() else None
        model: Any = keras.models.load_model(version / "model.keras", compile=False)
        head = model.layers[-1]
        self._weights, self._bias = (np.asarray(part, np.float64) for part in head.get_weights())
        self._features: Any = keras.Model(model.inputs, head.input)
        features = self._last(train.images)
        self._means = scores.ClassMeans(features, train.labels)
        self._nearest = scores.Nearest(features[::NEAREST_SHARE])
        shapes = [layer.output.shape[1:] for layer in model.layers if len(layer.output.shape) == 4]
        self._maps = next((shape for shape in reversed(shapes) if math.prod(shape) == features.shape[1]), None)
        if self._maps is not None:
            self._channel_means = scores.ClassMeans(self._channels(features), train.labels)
            self._quarter_means = scores.ClassMeans(scores.quarters(self._as_maps(features)), train.labels)

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        """float32[N, 10], as the server answers."""
        return self._runtime.predict(images)

    def scores(self, images: Images) -> dict[str, Scores]:
        """Each candidate's score of each image, by the candidate's name."""
        probabilities = self.probabilities(images).astype(np.float64)
        features = self._last(images)
        logits = features @ self._weights + self._bias
        found = {
            "highest probability": scores.highest_probability(probabilities),
            "entropy": scores.entropy(probabilities),
            "margin": scores.margin(probabilities),
            "highest logit": scores.highest_logit(logits),
            "energy": scores.energy(logits),
            "class means": self._means(features),
            "nearest neighbour": self._nearest(features),
        }
        if self._maps is not None:
            found["class means, channels"] = self._channel_means(self._channels(features))
            found[QUARTERS] = self._quarter_means(scores.quarters(self._as_maps(features)))
        if self._served is not None:
            found[SERVED] = self._served.predict(images).min(axis=1).astype(np.float64)
        return found

    def _last(self, images: Images) -> Array:
        """What the last layer is given: float64[N, F]."""
        features: NDArray[np.float32] = self._features.predict(images, batch_size=BATCH, verbose=0)
        return features.astype(np.float64)

    def _as_maps(self, features: Array) -> Array:
        """The features as the last convolution gave them: float64[N, height, width, C]."""
        return features.reshape(-1, *(self._maps or ()))

    def _channels(self, features: Array) -> Array:
        """The mean of each channel over its map: float64[N, C]."""
        means: Array = self._as_maps(features).mean(axis=(1, 2))
        return means
