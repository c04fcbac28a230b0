"""Every setting of the training job: its default, its unit, its bounds and what it means, each stated once.

The command line's flags (`--batch-size`) and environment variables (`DIGITS_BATCH_SIZE`) are made from these fields.
"""

from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from digits_training.errors import SettingsError

MODEL_NAME = "digits"  # the folder of the versions in the model repository


class Kind(StrEnum):
    """What a setting decides."""

    HYPERPARAMETER = "hyperparameter"  # the weights: the same ones and the same data give the same model
    GATE = "gate"  # whether the model is published
    PRESENTATION = "presentation"  # how the model is described
    PLACE = "place"  # where things lie on this machine; never recorded


def setting(
    default: Any,
    description: str,
    kind: Kind = Kind.HYPERPARAMETER,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
) -> Any:
    metadata = {"help": description, "kind": kind, "choices": choices, "least": least, "most": most}
    return field(default=default, metadata=metadata)


NETWORKS = ("mlp",)
ACTIVATIONS = (  # all of Keras but glu, which halves its features, and threshold, which takes parameters
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh"),
    *("leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu"),
    *("soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus"),
    *("swish", "tanh", "tanh_shrink"),
)
OPTIMIZERS = (  # all of Keras but those that wrap or combine others
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "muon", "nadam", "rmsprop"),
    *("schedulefreeadamw", "sgd"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. Raises SettingsError, naming setting and value, when one is out of its bounds."""

    repository: Path = setting(Path("models"), "The model repository: versions go to DIR/digits/<version>.", Kind.PLACE)
    data: Path | None = setting(None, "Folder of the data set, IDX files; MNIST itself if not given.", Kind.PLACE)

    network: str = setting("mlp", "The network to train.", choices=NETWORKS)
    hidden_sizes: tuple[int, ...] = setting((20, 20), "Units of the mlp's hidden layers.", least=1, most=4096)
    activation: str = setting("relu", "Activation of the hidden layers, by its Keras name.", choices=ACTIVATIONS)
    optimizer: str = setting("sgd", "The optimiser, by its Keras name.", choices=OPTIMIZERS)
    learning_rate: float | None = setting(None, "Step size of the optimiser; Keras's default if not given.", least=0)
    epochs: int = setting(10, "Passes over the training images.", least=1)
    batch_size: int = setting(20, "Images per step.", least=1)
    validation_share: float = setting(0.3, "Share of the training images held out for validation.", least=0, most=0.9)
    seed: int = setting(0, "Decides weights, split and order: same seed, same model.", least=0, most=2**32 - 1)

    min_accuracy: float = setting(0.9, "Test accuracy below which nothing is published.", Kind.GATE, least=0, most=1)

    labels: tuple[str, ...] = setting(
        tuple("0123456789"), "Names of the ten labels, separated by commas.", Kind.PRESENTATION
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each, getattr(self, each.name))
        if len(self.labels) != 10 or len(set(self.labels)) != 10 or not all(self.labels):
            raise SettingsError(f"labels must be ten different names, not {','.join(self.labels)!r}")

    def of_kind(self, *kinds: Kind) -> dict[str, Any]:
        """The settings of these kinds by name, as JSON knows them (tuples as lists)."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.metadata["kind"] in kinds}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def flag(name: str) -> str:
    """The command line's name of a setting: `--batch-size` of `batch_size`."""
    return "--" + name.replace("_", "-")


def _check(each: Field[Any], value: Any) -> None:
    choices, least, most = (each.metadata[key] for key in ("choices", "least", "most"))
    if choices and value not in choices:
        raise SettingsError(f"{flag(each.name)} {value!r} is unknown: choose one of {_listed(choices)}")
    for number in value if isinstance(value, tuple) else () if value is None else (value,):
        if (least is not None and not number >= least) or (most is not None and not number <= most):
            bounds = f"at least {least:g}" if most is None else f"from {least:g} to {most:g}"
            raise SettingsError(f"{flag(each.name)} must be {bounds}, not {number}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
