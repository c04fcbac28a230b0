"""The optimisation: minimise the cross-entropy on the training images, epoch after epoch, step after step.

Every image is seen once an epoch, in a new order each time. What a plain Keras loop spends most of its time on is the
way from Python into TensorFlow, once per step: here the steps run inside TensorFlow, many in one call.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training.augment import augments, distort
from digits_training.checkpoint import Checkpoint, Progress
from digits_training.data import LabelledImages
from digits_training.errors import DivergedError
from digits_training.evaluate import accuracy, cross_entropy
from digits_training.settings import Settings

IMAGES_PER_CALL = 2500  # enough that Python no longer counts, few enough that the cnn answers SIGTERM in seconds
CHECKPOINT_SECONDS = 20.0  # what an interruption costs at most, beside the end of each epoch
EVALUATION_BATCH = 500  # images; any number gives the same figures


def fit(
    network: Any,
    train: LabelledImages,
    validation: LabelledImages,
    *,
    settings: Settings,
    checkpoint: Checkpoint,
    say: Callable[[str], None],
) -> list[dict[str, float]]:
    """Trains `network` in place, from where `checkpoint` left off, and returns the figures of every epoch.

    One dictionary an epoch: `loss` (nats) and `accuracy` on the training images while they were learnt, `val_loss`
    and `val_accuracy` on the validation images after it. `say` gets one line an epoch. Raises DivergedError.
    """
    optimizer = build_optimizer(settings, steps_per_epoch=math.ceil(len(train) / settings.batch_size))
    optimizer.build(network.trainable_variables)
    state = [*network.variables, *optimizer.variables]
    run_steps = _step_runner(network, optimizer, train, settings)
    predict = predictor(network)
    steps_per_call = max(1, IMAGES_PER_CALL // settings.batch_size)

    progress = checkpoint.restore(state) or Progress()
    if progress.epoch or progress.images:
        say(f"resuming after epoch {progress.epoch}, image {progress.images:,} of {len(train):,}")

    for epoch in range(progress.epoch, settings.epochs):
        started = time.monotonic()
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(train)).astype(np.int32)
        for indices in _slices(order[progress.images :], steps_per_call * settings.batch_size):
            loss, right = run_steps(indices)
            progress.loss_sum += float(loss)
            progress.right += int(right)
            progress.images += len(indices)
            if progress.images < len(train) and checkpoint.age_seconds > CHECKPOINT_SECONDS:
                checkpoint.save(state, progress)

        probabilities = predict(validation.images)
        figures = {
            "loss": progress.loss_sum / len(train),
            "accuracy": progress.right / len(train),
            "val_loss": cross_entropy(probabilities, validation.labels),
            "val_accuracy": accuracy(probabilities, validation.labels),
        }
        if not all(map(math.isfinite, figures.values())):
            raise DivergedError(f"the loss is no number any more after epoch {epoch + 1}: try a lower --learning-rate")
        progress = Progress(epoch=epoch + 1, history=[*progress.history, figures])
        checkpoint.save(state, progress)
        say(
            f"epoch {epoch + 1:{len(str(settings.epochs))}}/{settings.epochs}  "
            + "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
            + f"  {time.monotonic() - started:.1f} s"
        )
    return progress.history


def build_optimizer(settings: Settings, steps_per_epoch: int) -> Any:
    """The Keras optimizer the settings name; whatever they leave open keeps Keras's default."""
    import keras

    config: dict[str, Any] = {"learning_rate": settings.learning_rate, "weight_decay": settings.weight_decay}
    config = {name: value for name, value in config.items() if value is not None}
    if settings.schedule == "cosine":
        default = float(keras.optimizers.get(settings.optimizer).learning_rate)
        warm_up = min(steps_per_epoch, steps_per_epoch * settings.epochs // 4)
        config["learning_rate"] = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            warmup_target=config.get("learning_rate", default),
            warmup_steps=warm_up,
            decay_steps=steps_per_epoch * settings.epochs - warm_up,
        )
    return keras.optimizers.get({"class_name": settings.optimizer, "config": config})


def _step_runner(network: Any, optimizer: Any, train: LabelledImages, settings: Settings) -> Any:
    """A compiled function: int32[M] indices of training images → (sum of their losses, number answered rightly).

    It takes ⌈M / batch_size⌉ steps of the optimizer, one a batch, in the order of the indices.
    """
    import keras
    import tensorflow as tf

    batch_size = settings.batch_size
    images = tf.constant(train.images)
    labels = tf.constant(train.labels.astype(np.int32))
    seed = tf.constant(settings.seed, tf.uint32)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(reduction="sum")

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
                probabilities = network(batch_images, training=True)
                batch_loss = cross_entropy(batch_labels, probabilities)
                mean_loss = batch_loss / tf.cast(tf.size(batch), tf.float32)
            gradients = tape.gradient(mean_loss, network.trainable_variables)
            optimizer.apply(gradients, network.trainable_variables)
            answers = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
            loss_sum += batch_loss
            right += tf.reduce_sum(tf.cast(answers == batch_labels, tf.int32))
        return loss_sum, right

    return tf.function(run_steps, input_signature=[tf.TensorSpec([None], tf.int32)])


def predictor(network: Any) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The Keras model as a function, compiled once: uint8[N, 28, 28] → float32[N, 10]."""
    import tensorflow as tf

    compiled = tf.function(lambda batch: network(batch, training=False), reduce_retracing=True)

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.concatenate([compiled(tf.constant(batch)).numpy() for batch in _slices(images, EVALUATION_BATCH)])

    return predict


def probabilities_of(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same for a single use."""
    return predictor(network)(images)


def _slices(array: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(array), size):
        yield array[start : start + size]
