"""Steps of the optimizer, many in one call into TensorFlow.

The parts of a batch are independent until their gradients are added, so two cores compute two parts in parallel,
without waiting for each other. Batch normalisation measures each part separately.
"""

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from digits_training.data import LABELS, LabelledImages
from digits_training.fitting.augment import augments, distort
from digits_training.fitting.forward import Statistics, forward, update_running_statistics
from digits_training.settings import Settings


def step_runner(network: Any, optimizer: Any, train: LabelledImages, settings: Settings) -> Any:
    """A compiled function: int32[M] indices of training images → (sum of their losses, number of correct answers).

    It runs ⌈M / batch_size⌉ steps of the optimizer, one for each batch, in the order of the indices. A batch must have
    at least one image for each of its parts.
    """
    import tensorflow as tf

    batch_size, parts = settings.batch_size, settings.parts_of_a_batch
    images = tf.constant(train.images)
    labels = tf.constant(train.labels.astype(np.int32))
    seed = tf.constant(settings.seed, tf.uint32)
    cross_entropy = _cross_entropy(settings.label_smoothing)

    def run_part(part: Any, number: int, size_of_batch: Any) -> _Part:
        part_images, part_labels = tf.gather(images, part), tf.gather(labels, part)
        if augments(settings):
            step = tf.cast(optimizer.iterations.value, tf.int32)
            place = step * parts + number
            part_images = distort(part_images, tf.stack([tf.bitcast(seed, tf.int32), place]), settings)
        with tf.GradientTape() as tape:
            probabilities, measured = forward(network, part_images)
            loss = cross_entropy(part_labels, probabilities)
            for penalty in network.losses:  # of regularisers, as Keras adds them to the mean
                loss += tf.cast(tf.size(part), tf.float32) * penalty
            share_of_mean = loss / tf.cast(size_of_batch, tf.float32)
        gradients = tape.gradient(share_of_mean, network.trainable_variables)
        right = tf.reduce_sum(tf.cast(tf.argmax(probabilities, -1, output_type=tf.int32) == part_labels, tf.int32))
        return _Part(gradients, loss, right, measured)

    def run_steps(indices: Any) -> tuple[Any, Any]:
        loss_sum = tf.constant(0.0)
        right = tf.constant(0)
        for start in tf.range(0, tf.size(indices), batch_size):
            batch = indices[start : start + batch_size]
            size = tf.size(batch)
            bounds = [size * number // parts for number in range(parts + 1)]
            done = [run_part(batch[bounds[part] : bounds[part + 1]], part, size) for part in range(parts)]
            gradients = [reduce(add, of_parts) for of_parts in zip(*(part.gradients for part in done), strict=True)]
            update_running_statistics([part.measured for part in done])
            optimizer.apply(gradients, network.trainable_variables)
            loss_sum += reduce(add, [part.loss for part in done])
            right += reduce(add, [part.right for part in done])
        return loss_sum, right

    return tf.function(run_steps, input_signature=[tf.TensorSpec([None], tf.int32)])


class _Part(NamedTuple):
    """What a part of a batch contributes to its step."""

    gradients: list[Any]  # of the mean loss of the whole batch
    loss: Any  # the sum of its images' losses
    right: Any  # number of its images that were answered correctly
    measured: list[Statistics]


def _cross_entropy(label_smoothing: float) -> Callable[[Any, Any], Any]:
    """int32[N] labels and float32[N, 10] probabilities → the sum of the N losses, in nats."""
    import keras
    import tensorflow as tf

    plain = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, reduction="sum")

    def cross_entropy(labels: Any, probabilities: Any) -> Any:
        return smoothed(tf.one_hot(labels, LABELS), probabilities) if label_smoothing else plain(labels, probabilities)

    return cross_entropy
