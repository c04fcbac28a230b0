"""The Keras model where somebody asks for it, in Keras's own formats."""

import tempfile
from pathlib import Path
from typing import Any

from digits_training.backend import quiet


def save(network: Any, path: Path) -> None:
    """Writes `network` to a .keras or legacy .h5 file, whole or not at all, compiled so that scripts can evaluate it.

    Like every model of ours it takes raw pixels, 0 to 255, uint8[N, 28, 28]. Raises OSError.
    """
    # SGD keeps no state for each weight; an optimizer that does and was never used would not load again.
    network.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=path.parent) as folder:
        incoming = Path(folder) / path.name
        with quiet():  # Keras advises against .h5; whoever asks for it has a reason
            network.save(incoming)
        incoming.replace(path)
