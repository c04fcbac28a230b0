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
from digits_training.conversion import litert
from digits_training.data import LABELS, SIDE, DataSet
from digits_training.errors import ParityError
from digits_training.networks.predictions import predictor

FILE_NAME = "unlike.tflite"

NETWORK = "cnn"
"""The network that has such a file: no score tells digits from other images well enough with the mlp, and the features
of the cnn-large were not measured."""

REFUSED_SHARE = 0.01
"""Share of the training images whose score is above 1."""

MOST_IMAGES = 20_000
"""Training images that means, covariance and threshold are computed from, drawn at random with the seed 0. With all
60,000 of MNIST, the share of the test images above the threshold changes by about 0.1 points, and it takes 6 s more."""

RIDGE = 1e-3
"""Added to the covariance, as a share of its mean variance: features that never vary would have none."""

LEAST_RIDGE, LEAST_THRESHOLD = 1e-10, 1.0
"""Both would be 0 if all training images were the same. The usual threshold is about 600."""

TOLERANCE = 1e-3
"""Largest relative difference of a distance, between Keras and LiteRT and between two machines."""


def write(network: Any, dataset: DataSet, golden: Sequence[GoldenImage], folder: Path) -> Unlike:
    """Writes the file of a cnn into `folder`; returns what the manifest says about it.

    Means, covariance and threshold come from up to MOST_IMAGES training images, those held out for validation
    included. Raises ParityError.
    """
    train, test = dataset.train, dataset.test
    if len(train) > MOST_IMAGES:
        train = train.take(np.random.default_rng(0).choice(len(train), MOST_IMAGES, replace=False))
    features = _features(network)
    measured = predictor(features)(train.images).astype(np.float64)
    means, whitening = _statistics(measured, train.labels)
    whitened, centres = measured @ whitening, means @ whitening
    lowest = ((centres**2).sum(axis=1) - 2 * whitened @ centres.T).min(axis=1)
    lowest += np.einsum("nf,nf->n", whitened, whitened)
    threshold = max(float(np.quantile(lowest, 1 - REFUSED_SHARE, method="higher")), LEAST_THRESHOLD)
    model = _distances(features, means, whitening / np.sqrt(threshold))
    litert.convert(model, folder / FILE_NAME)
    found = litert.litert_probabilities(folder / FILE_NAME, test.images)
    _prove_parity(predictor(model)(test.images), found)
    pixels = np.frombuffer(b"".join(item.image for item in golden), np.uint8).reshape(-1, SIDE, SIDE)
    distances = litert.litert_probabilities(folder / FILE_NAME, pixels)
    return Unlike(
        threshold=threshold,
        refused_share=_share_above_1(found),
        test_images=len(test),
        golden_distances=distances.ravel().tolist(),
        golden_tolerance=TOLERANCE * distances.max(initial=1.0),
    )


def refused_share(folder: Path, images: NDArray[np.uint8]) -> float:
    """The share of uint8[N, 28, 28] whose score by the file in `folder` is above 1."""
    return _share_above_1(litert.litert_probabilities(folder / FILE_NAME, images))


def _share_above_1(distances: NDArray[np.float32]) -> float:
    return float((distances.min(axis=1) > 1).mean())


def _prove_parity(keras: NDArray[np.float32], converted: NDArray[np.float32]) -> None:
    largest = float((np.abs(keras - converted) / (1 + keras)).max())
    if not largest <= TOLERANCE:  # `not <=`: NaN fails too
        raise ParityError(
            f"{FILE_NAME} differs from the Keras model: distances differ by up to {largest:.1e} of their size "
            f"(allowed: {TOLERANCE:.0e})"
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
    covariance += np.eye(len(covariance)) * max(RIDGE * np.trace(covariance) / len(covariance), LEAST_RIDGE)
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
