"""unlike.tflite: how unlike the training images an image is, measured in what the cnn's last layer is given.

The score is the squared Mahalanobis distance to the nearest mean of a label, with one covariance for all labels
(K. Lee et al., "A simple unified framework for detecting out-of-distribution samples", 2018), divided by a threshold.
docs/images.md has the figures by which it was chosen.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import GoldenImage, Unlike
from digits_training import export
from digits_training.data import LABELS, SIDE, LabelledImages
from digits_training.errors import ParityError
from digits_training.fit import predictor

FILE_NAME = "unlike.tflite"

NETWORK = "cnn"
"""The network that has such a file: no score tells digits from other images well enough with the mlp, and the features
of the cnn-large were not measured."""

REFUSED_SHARE = 0.01
"""Share of good images whose score is above 1."""

RIDGE = 1e-3
"""Added to the covariance, as a share of its mean variance: features that never vary would have none."""

TOLERANCE = 1e-3
"""Largest relative difference of a distance between Keras and LiteRT, and absolute one of a golden image, whose
distances are about 1."""


def write(
    network: Any, training: LabelledImages, held_out: LabelledImages, golden: Sequence[GoldenImage], folder: Path
) -> Unlike:
    """Writes the file of a cnn into `folder`; returns what the manifest says about it.

    The threshold is chosen on `held_out`, or on `training` if that is empty. Raises ParityError.
    """
    good = held_out if len(held_out) else training
    features = _features(network)
    measured = predictor(features)(training.images).astype(np.float64)
    means, whitening = _statistics(measured, training.labels)
    lowest = predictor(_distances(features, means, whitening))(good.images).min(axis=1)
    threshold = float(np.quantile(lowest, 1 - REFUSED_SHARE, method="higher"))
    scaled = _distances(features, means, whitening / np.sqrt(threshold))
    export.convert(scaled, folder / FILE_NAME)
    found = export.litert_probabilities(folder / FILE_NAME, good.images)
    expected = predictor(scaled)(good.images)
    difference = float((np.abs(found - expected) / (1 + expected)).max())
    if not difference <= TOLERANCE:  # `not <=`: NaN fails too
        raise ParityError(
            f"{FILE_NAME} differs from the Keras model: distances differ by up to {difference:.1e} of their size "
            f"(allowed: {TOLERANCE:.0e})"
        )
    pixels = np.frombuffer(b"".join(item.image for item in golden), np.uint8).reshape(-1, SIDE, SIDE)
    return Unlike(
        threshold=threshold,
        refused_share=float((found.min(axis=1) > 1).mean()),
        images=len(good),
        golden_distances=export.litert_probabilities(folder / FILE_NAME, pixels).ravel().tolist(),
        golden_tolerance=TOLERANCE,
    )


def _features(network: Any) -> Any:
    """A keras.Model of the mean of each channel over each quarter of the last maps: float32[N, 4 C].

    Of an odd height or width, the first half is the larger one.
    """
    import keras
    from keras import layers

    maps = next(layer for layer in network.layers if isinstance(layer, layers.Flatten)).input
    rows, columns = (((0, size // 2), (size - size // 2, 0)) for size in maps.shape[1:3])
    quarters = [layers.Cropping2D((row, column))(maps) for row in rows for column in columns]
    means = [layers.GlobalAveragePooling2D()(quarter) for quarter in quarters]
    return keras.Model(network.inputs, layers.Concatenate()(means))


def _statistics(
    features: NDArray[np.float64], labels: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean of each label, float64[10, F], and the matrix that makes the covariance around them the identity.

    A label without images gets the mean of another: the distance to the nearest mean stays the same.
    """
    present = np.unique(labels)
    of_label = {label: features[labels == label].mean(axis=0) for label in present.tolist()}
    means = np.stack([of_label.get(label, of_label[int(present[0])]) for label in range(LABELS)])
    centred = features - means[labels]
    covariance = centred.T @ centred / len(features)
    covariance += np.eye(len(covariance)) * RIDGE * np.trace(covariance) / len(covariance)
    return means, np.linalg.inv(np.linalg.cholesky(covariance)).T


def _distances(features: Any, means: NDArray[np.float64], whitening: NDArray[np.float64]) -> Any:
    """A keras.Model of the squared distances to the ten means after `whitening`: float32[N, 10]."""
    import keras
    from keras import layers

    centre = means.mean(axis=0)  # close to the features, so that float32 loses little
    dense = layers.Dense(len(whitening))
    whitened = dense(features.output)
    dense.set_weights([whitening, -centre @ whitening])
    apart = keras.ops.expand_dims(whitened, 1) - ((means - centre) @ whitening).astype(np.float32)
    return keras.Model(features.inputs, keras.ops.sum(keras.ops.square(apart), axis=-1), name="unlike")
