"""The networks that can be trained, and the settings that each of them uses."""

from pathlib import PurePath
from typing import Any

from digits_training.errors import SettingsError

NETWORKS = ("mlp", "cnn", "cnn-large")
CONVOLUTIONAL = ("cnn", "cnn-large")
MAX_NAME = 100  # characters of a network's name in a manifest; servers refuse longer ones

DEFAULTS: dict[str, dict[str, Any]] = {  # of networks that do better with other values than the general defaults
    "cnn": {
        "optimizer": "adamw",
        "learning_rate": 0.004,
        "schedule": "cosine",
        "weight_decay": 0.004,
        "label_smoothing": 0.1,
        "averaging": 0.99,
        "dropout": 0.2,
        "epochs": 7,
        "batch_size": 128,
        "validation_share": 1 / 60,
        "rotation": 10.0,
        "zoom": 0.1,
        "shift": 1.5,
    },
    "cnn-large": {
        "optimizer": "adamw",
        "learning_rate": 0.003,
        "schedule": "cosine",
        "weight_decay": 1e-4,
        "dropout": 0.2,
        "epochs": 14,
        "batch_size": 128,
        "validation_share": 1 / 12,
        "rotation": 10.0,
        "zoom": 0.1,
        "shear": 0.1,
        "shift": 2.0,
    },
}

WITHOUT: dict[str, tuple[str, ...]] = {  # settings that a network does not use
    "mlp": ("dropout",),
    "cnn": ("hidden_sizes",),
    "cnn-large": ("hidden_sizes",),
}
WITHOUT_FOR_OWN = ("hidden_sizes", "activation", "dropout")


def check(network: str) -> None:
    """Raises SettingsError unless `network` is a built-in network or FILE.py:FUNCTION."""
    found, name = own(network), name_of(network)
    if found is None and (network.endswith(".py") or ".py:" in network):
        raise SettingsError(
            f"--network {network!r} does not name a function: expected FILE.py:FUNCTION, for example net.py:build"
        )
    if found is None and network not in NETWORKS:
        raise SettingsError(
            f"--network {network!r} is unknown: choose one of {', '.join(NETWORKS)}, or your own as FILE.py:FUNCTION"
        )
    if len(name) > MAX_NAME or not name.isprintable():
        raise SettingsError(f"--network {name!r} must have at most {MAX_NAME} printable characters: rename the file")


def own(network: str) -> tuple[str, str] | None:
    """File and function of the user's own network, FILE.py:FUNCTION; None if `network` has another form."""
    file, _, function = network.rpartition(":")
    return (file, function) if file.endswith(".py") and function.isidentifier() else None


def name_of(network: str) -> str:
    """The name of a network in manifests and runs: a file is named without its folders."""
    found = own(network)
    return f"{PurePath(found[0]).name}:{found[1]}" if found else network


def called(network: str) -> str:
    """The network in a sentence."""
    return name_of(network) if own(network) else f"the {network}"


def without(network: str) -> tuple[str, ...]:
    """Names of the settings that a network does not use."""
    return WITHOUT_FOR_OWN if own(network) else WITHOUT[network]


def parts_of_a_batch(network: str) -> int:
    """Parts of a batch that a step computes in parallel."""
    return 2 if network in CONVOLUTIONAL else 1
