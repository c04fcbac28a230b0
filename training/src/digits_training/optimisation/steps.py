"""Steps of the optimizer, many in one call into TensorFlow."""

from collections.abc import Callable
from typing import Any

import numpy as np

from digits_training.augment import augments, distort
from digits_training.data import LABELS, LabelledImages
from digits_training.optimisation.forward import forward
from digits_training.settings import Settings


def step_runner(network: Any, optimizer: Any, train: LabelledImages, settings: Settings) -> Any:
    """A compiled function: int32[M] indices of training images → (sum of their losses, number of right answers).

    It takes ⌈M / batch_size⌉ steps of the optimizer, one a batch, in the order of the indices.
    """
    import tensorflow as tf

    batch_size = settings.batch_size
    images = tf.constant(train.images)
    labels = tf.constant(train.labels.astype(np.int32))
    seed = tf.constant(settings.seed, tf.uint32)
    cross_entropy = _cross_entropy(settings.label_smoothing)

    def run_steps(indices: Any) -> tuple[Any, Any]:
        loss_sum = tf.constant(0.0)
        right = tf.constant(0)
        for start in tf.range(0, tf.size(indices), batch_size):
            batch = indices[start : start + batch_size]
            batch_images, batch_labels = tf.gather(images, batch), tf.gather(labels, batch)
            if augments(settings):
                step = tf.cast(optimizer.iterations.value, tf.int32)
                batch_images = distort(batch_images, tf.stack([tf.bitcast(seed, tf.int32), step]), settings)
            with tf.GradientTape() as tape:
                probabilities = forward(network, batch_images)
                batch_loss = cross_entropy(batch_labels, probabilities)
                size = tf.cast(tf.size(batch), tf.float32)
                for penalty in network.losses:  # of regularisers, as Keras adds them to the mean
                    batch_loss += size * penalty
                mean_loss = batch_loss / size
            gradients = tape.gradient(mean_loss, network.trainable_variables)
            optimizer.apply(gradients, network.trainable_variables)
            answers = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
            loss_sum += batch_loss
            right += tf.reduce_sum(tf.cast(answers == batch_labels, tf.int32))
        return loss_sum, right

    return tf.function(run_steps, input_signature=[tf.TensorSpec([None], tf.int32)])


def _cross_entropy(label_smoothing: float) -> Callable[[Any, Any], Any]:
    """int32[N] labels and float32[N, 10] probabilities → the sum of the N losses, in nats."""
    import keras
    import tensorflow as tf

    plain = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    smoothed = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, reduction="sum")

    def cross_entropy(labels: Any, probabilities: Any) -> Any:
        return smoothed(tf.one_hot(labels, LABELS), probabilities) if label_smoothing else plain(labels, probabilities)

    return cross_entropy
