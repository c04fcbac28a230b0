"""The training loop: minimises the cross-entropy on the training images, step by step, epoch by epoch.

Each epoch uses every image once, in a new order. A plain Keras loop spends most of its time on the call from Python
into TensorFlow, once per step. Here the steps run inside TensorFlow, many in one call.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from digits_training.data import LabelledImages
from digits_training.errors import DataError, DivergedError
from digits_training.evaluation.figures import accuracy, cross_entropy
from digits_training.fitting.checkpoint import Checkpoint, Progress
from digits_training.fitting.optimizer import build_optimizer
from digits_training.fitting.steps import step_runner
from digits_training.fitting.weights import Weights, best_epoch, patience_is_over
from digits_training.networks.predictions import predictor, slices
from digits_training.settings import Settings

IMAGES_PER_CALL = (
    2500  # enough that Python's overhead is negligible, few enough that the cnn stops seconds after SIGTERM
)
CHECKPOINT_SECONDS = 20.0  # an interruption costs at most this; the end of each epoch is saved too
PROGRESS_SECONDS = 5.0  # between two lines about the same epoch


def fit(
    network: Any,
    train: LabelledImages,
    validation: LabelledImages,
    *,
    settings: Settings,
    checkpoint: Checkpoint,
    say: Callable[[str], None],
    after_epoch: Callable[[list[dict[str, float]]], None] = lambda _history: None,
) -> list[dict[str, float]]:
    """Trains `network` in place, resumes from `checkpoint` if it can, and returns the figures of every epoch.

    One dictionary for each epoch: `loss` (nats) and `accuracy` on the training images during the epoch, and after it
    `val_loss` and `val_accuracy`, if there are validation images. `say` gets a line for each epoch, and one every few
    seconds within it; `after_epoch` gets the figures of all epochs so far. Raises DataError, DivergedError.
    """
    optimizer = build_optimizer(settings, steps_per_epoch=math.ceil(len(train) / settings.batch_size))
    optimizer.build(network.trainable_variables)
    weights = Weights(network, optimizer, keep_best=settings.best_epoch)
    state = [*network.variables, *optimizer.variables, *weights.variables]
    run_steps = step_runner(network, optimizer, train, settings)
    predict = predictor(network)
    images = _images_an_epoch(len(train), settings)
    images_per_call = max(1, IMAGES_PER_CALL // settings.batch_size) * settings.batch_size

    progress = checkpoint.restore(state) or Progress()
    if progress.epoch or progress.images:
        say(f"resuming after epoch {progress.epoch}, image {progress.images:,} of {images:,}")

    for epoch in range(progress.epoch, settings.epochs):
        if patience_is_over(progress.history, settings.patience):
            say(f"stopping early: the validation loss was lowest after epoch {best_epoch(progress.history) + 1}")
            break
        started = told = time.monotonic()
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(train)).astype(np.int32)
        for indices in slices(order[progress.images : images], images_per_call):
            loss, right = run_steps(indices)
            progress.loss_sum += float(loss)
            progress.right += int(right)
            progress.images += len(indices)
            if progress.images < images and checkpoint.age_seconds > CHECKPOINT_SECONDS:
                checkpoint.save(state, progress)
            if progress.images < images and time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                say(_line_within(epoch, progress, images, settings))

        figures = {"loss": progress.loss_sum / images, "accuracy": progress.right / images}
        with weights.published():
            if len(validation):
                probabilities = predict(validation.images)
                figures["val_loss"] = cross_entropy(probabilities, validation.labels)
                figures["val_accuracy"] = accuracy(probabilities, validation.labels)
            if not all(map(math.isfinite, figures.values())):
                raise DivergedError(
                    f"the loss became NaN or infinite in epoch {epoch + 1}: try a lower --learning-rate"
                )
            progress = Progress(epoch=epoch + 1, history=[*progress.history, figures])
            if settings.best_epoch and best_epoch(progress.history) == epoch:
                weights.keep()
        checkpoint.save(state, progress)
        after_epoch(progress.history)
        say(
            f"{_epoch(epoch, settings)}  "
            + "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
            + f"  {time.monotonic() - started:.1f} s"
        )
    weights.finish()
    return progress.history


def _images_an_epoch(images: int, settings: Settings) -> int:
    """All of them, except a last batch with fewer images than parts: each epoch leaves out different ones."""
    rest = images % settings.batch_size
    seen = images - rest if rest < settings.parts_of_a_batch else images
    if not seen:
        raise DataError(
            f"the {settings.network} needs at least {settings.parts_of_a_batch} training images, not {images}"
        )
    return seen


def _epoch(epoch: int, settings: Settings) -> str:
    return f"epoch {epoch + 1:{len(str(settings.epochs))}}/{settings.epochs}"


def _line_within(epoch: int, progress: Progress, images: int, settings: Settings) -> str:
    return (
        f"{_epoch(epoch, settings)}  at {progress.images / images:.0%}: "
        f"loss {progress.loss_sum / progress.images:.4f}  accuracy {progress.right / progress.images:.4f}"
    )
