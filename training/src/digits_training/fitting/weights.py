"""The weights that a run publishes: the last ones, their running average, or those of the best epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

History = list[dict[str, float]]


class Weights:
    """The weights of `network` while `optimizer` trains it."""

    def __init__(self, network: Any, optimizer: Any, *, keep_best: bool) -> None:
        import tensorflow as tf

        self._network = network
        self._optimizer = optimizer
        self._best = [tf.Variable(weights, trainable=False) for weights in network.get_weights()] if keep_best else []

    @property
    def variables(self) -> list[Any]:
        """What a checkpoint must keep in addition to the variables of network and optimizer."""
        return self._best

    @contextmanager
    def published(self) -> Iterator[None]:
        """Within the block the network has the weights that this epoch would publish."""
        trained = [weights.numpy() for weights in self._network.trainable_variables]
        self._average()
        yield
        for variable, weights in zip(self._network.trainable_variables, trained, strict=True):
            variable.assign(weights)

    def keep(self) -> None:
        """Keeps the weights the network has now as the best of the run."""
        for kept, weights in zip(self._best, self._network.get_weights(), strict=True):
            kept.assign(weights)

    def finish(self) -> None:
        """Gives the network the weights to publish."""
        if self._best:
            self._network.set_weights([kept.numpy() for kept in self._best])
        else:
            self._average()

    def _average(self) -> None:
        self._optimizer.finalize_variable_values(self._network.trainable_variables)


def best_epoch(history: History) -> int:
    """Index of the epoch with the lowest validation loss; the first one if several are equal."""
    return min(range(len(history)), key=lambda epoch: history[epoch]["val_loss"])


def patience_is_over(history: History, patience: int) -> bool:
    """Whether the last `patience` epochs brought no lower validation loss; never if `patience` is 0."""
    return bool(patience and history and len(history) - 1 - best_epoch(history) >= patience)


def published_epoch(history: History, *, keep_best: bool) -> dict[str, float]:
    """The figures of the epoch whose weights are published."""
    return history[best_epoch(history) if keep_best else -1]
