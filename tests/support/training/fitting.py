"""Small networks fitted for tests, without the command."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from digits_training.data import LabelledImages
from digits_training.fitting.checkpoint import Checkpoint
from digits_training.fitting.fit import fit
from digits_training.networks import backend
from digits_training.networks.built_in import build_network
from digits_training.settings import Settings

Parts = tuple[LabelledImages, LabelledImages]
"""Training and validation images."""


def fitted_network(settings: Settings, parts: Parts, folder: Path) -> tuple[Any, list[Any]]:
    backend.start(settings.seed)
    network = build_network(settings)
    checkpoint = Checkpoint(folder, "run")
    history = fit(network, *parts, settings=settings, checkpoint=checkpoint, say=lambda _line: None)
    checkpoint.remove()
    return network, history


def digest(network: Any) -> str:
    return hashlib.sha256(b"".join(np.asarray(weights).tobytes() for weights in network.get_weights())).hexdigest()


CNN = {"network": "cnn", "batch_size": 128, "epochs": 1}


LARGE = {"network": "cnn-large", "batch_size": 128, "epochs": 1}
