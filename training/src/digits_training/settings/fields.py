"""Every setting of the training job, stated once: its default, unit, bounds and meaning.

The command line's flags (`--batch-size`) and environment variables (`DIGITS_BATCH_SIZE`) are made from these fields.
"""

from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from digits_training.errors import SettingsError
from digits_training.settings import networks

MODEL_NAME = "digits"  # the folder of the versions in the model repository


class Kind(StrEnum):
    """What a setting decides."""

    HYPERPARAMETER = "hyperparameter"  # the weights: the same values and the same data give the same model
    GATE = "gate"  # whether the model is published
    PRESENTATION = "presentation"  # how the model is described
    READING = "reading"  # how a model file from elsewhere is read
    PLACE = "place"  # where files are on this machine; never recorded


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


SCHEDULES = ("constant", "cosine")
PIXEL_RANGES = ("auto", "0-1", "0-255")
SAVE_SUFFIXES = (".keras", ".h5")
ACTIVATIONS = (  # all of Keras, except glu, which halves its features, and threshold, which takes parameters
    *("celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh"),
    *("leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu"),
    *("soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus"),
    *("swish", "tanh", "tanh_shrink"),
)
STEP = "step"  # for teaching: 0 below zero, 1 above; its gradient is 0 everywhere, so no layer before it learns
OPTIMIZERS = (  # all of Keras, except those that wrap or combine others, and lamb, whose name Keras does not resolve
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "muon", "nadam", "rmsprop"),
    *("schedulefreeadamw", "sgd"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. Raises SettingsError, which names setting and value, if a value is out of its bounds."""

    repository: Path = setting(Path("models"), "The model repository: versions go to DIR/digits/<version>.", Kind.PLACE)
    data: Path | None = setting(
        None,
        "Images and labels: a folder of IDX, .npy, CSV, Parquet or picture files, or an .npz, .csv or .parquet file; "
        "MNIST if not given.",
        Kind.PLACE,
    )
    checkpoint_dir: Path | None = setting(
        None,
        "Folder for the state of an interrupted run; a hidden folder beside the versions if not given.",
        Kind.PLACE,
    )
    runs: Path = setting(Path("runs"), "Folder that keeps the settings, figures and report of every run.", Kind.PLACE)
    tensorboard: Path | None = setting(
        None, "Also write loss and accuracy of each epoch for TensorBoard, into a new folder in this one.", Kind.PLACE
    )
    sign_key: Path | None = setting(
        None, "Ed25519 private key (PEM) that signs the published version; unsigned if not given.", Kind.PLACE
    )
    public_key: Path | None = setting(
        None, "File for the public half of --sign-key (PEM); if the key does not exist, it is created.", Kind.PLACE
    )
    save: Path | None = setting(None, "Also write the Keras model to this .keras or .h5 file.", Kind.PLACE)

    network: str = setting(
        "mlp", f"The network to train: {', '.join(networks.NETWORKS)}, or your own as FILE.py:FUNCTION."
    )
    hidden_sizes: tuple[int, ...] = setting((20, 20), "Units of the mlp's hidden layers.", least=1, most=4096)
    activation: str = setting(
        "relu", "Activation of the hidden layers, by its Keras name, or step.", choices=(*ACTIVATIONS, STEP)
    )
    dropout: float = setting(0.0, "Share of the cnn's last features dropped at each step.", least=0, most=0.9)
    optimizer: str = setting("sgd", "The optimiser, by its Keras name.", choices=OPTIMIZERS)
    learning_rate: float | None = setting(None, "Step size, at its highest; Keras's default if not given.", least=0)
    schedule: str = setting(
        "constant", "How the step size changes over the run; cosine: up for one epoch, then down.", choices=SCHEDULES
    )
    weight_decay: float | None = setting(None, "Weight decay per step; Keras's default if not given.", least=0, most=1)
    label_smoothing: float = setting(
        0.0, "Share of each training label that is spread evenly over all ten.", least=0, most=0.9
    )
    averaging: float = setting(
        0.0,
        "Publish the running average of the weights, with this decay per step; 0: publish the last weights.",
        least=0,
        most=0.9999,
    )
    epochs: int = setting(10, "Passes over the training images.", least=1, most=10_000)
    batch_size: int = setting(20, "Images per step.", least=1, most=100_000)
    validation_share: float = setting(
        0.3, "Share of the training images held out for validation; 0: none.", least=0, most=0.9
    )
    patience: int = setting(
        0, "Stop after this many epochs without a lower validation loss; 0: never.", least=0, most=10_000
    )
    best_epoch: bool = setting(False, "Publish the weights of the epoch with the lowest validation loss.")
    seed: int = setting(0, "Decides initial weights, splits and order: same seed, same model.", least=0, most=2**32 - 1)

    rotation: float = setting(0.0, "Augmentation: an image is turned by at most this many degrees.", least=0, most=180)
    zoom: float = setting(0.0, "Augmentation: an image grows or shrinks by at most this share.", least=0, most=0.9)
    shear: float = setting(0.0, "Augmentation: an image slants by at most this many columns per row.", least=0, most=1)
    shift: float = setting(0.0, "Augmentation: an image moves by at most this many pixels.", least=0, most=14)

    transpose: bool = setting(False, "Swap rows and columns of the images that are read; EMNIST's files need it.")
    invert: bool = setting(False, "Swap paper and ink of the images that are read; for dark ink on light paper.")
    test_share: float | None = setting(
        None,
        "Share of the images held out as test images if the data have no test images; 0.2 if not given.",
        least=0.01,
        most=0.9,
    )
    pixel_range: str = setting(
        "auto", "The range of pixels that an imported model expects.", Kind.READING, choices=PIXEL_RANGES
    )

    min_accuracy: float = setting(0.9, "Test accuracy below which nothing is published.", Kind.GATE, least=0, most=1)
    max_regression: float = setting(
        0.05,
        "How much accuracy a new model may lose against the served one, overall or on one label.",
        Kind.GATE,
        least=0,
        most=1,
    )
    no_publish: bool = setting(False, "Train and evaluate only; the report goes to --runs.", Kind.GATE)
    force: bool = setting(False, "Publish even if the gate objects; the manifest records the objections.", Kind.GATE)

    labels: tuple[str, ...] = setting(
        tuple("0123456789"), "Names of the ten labels, separated by commas.", Kind.PRESENTATION
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            _check(each, getattr(self, each.name))
        if len(self.labels) != 10 or len(set(self.labels)) != 10 or not all(self.labels):
            raise SettingsError(f"--labels must be ten different names, not {','.join(self.labels)!r}")

        networks.check(self.network)
        for each in fields(self):
            if each.name in networks.without(self.network) and getattr(self, each.name) != each.default:
                raise SettingsError(
                    f"{networks.called(self.network)} does not use {flag(each.name)}: {each.metadata['help']}"
                )
        if self.batch_size < self.parts_of_a_batch:
            least, network = self.parts_of_a_batch, networks.called(self.network)
            raise SettingsError(f"--batch-size must be at least {least} for {network}, not {self.batch_size}")
        if self.no_publish and self.force:
            raise SettingsError("--force and --no-publish contradict each other: give only one of them")
        for name in ("patience", "best_epoch"):
            if getattr(self, name) and not self.validation_share:
                raise SettingsError(f"{flag(name)} needs validation images: give a --validation-share above 0")
        if self.save is not None and self.save.suffix not in SAVE_SUFFIXES:
            raise SettingsError(f"--save writes {_listed(SAVE_SUFFIXES)} files, not {self.save.name!r}")

    @classmethod
    def for_network(cls, **given: Any) -> "Settings":
        """The settings given, completed with the network's own defaults, then with the general ones."""
        return cls(**(networks.DEFAULTS.get(given.get("network", "mlp"), {}) | given))

    @property
    def parts_of_a_batch(self) -> int:
        """Parts of a batch that a step computes in parallel; 1 where a step is too short to gain from it."""
        return networks.parts_of_a_batch(self.network)

    @property
    def model_folder(self) -> Path:
        """The folder of the versions."""
        return self.repository / MODEL_NAME

    def of_kind(self, *kinds: Kind) -> dict[str, Any]:
        """The settings of these kinds that the network uses, by name, in JSON's types (tuples as lists)."""
        unused = networks.without(self.network)
        kept = [each.name for each in fields(self) if each.metadata["kind"] in kinds and each.name not in unused]
        values = {name: getattr(self, name) for name in kept}
        if "network" in values:
            values["network"] = networks.name_of(self.network)
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
            bounds = f"at least {least:.12g}" if most is None else f"from {least:.12g} to {most:.12g}"
            raise SettingsError(f"{flag(each.name)} must be {bounds}, not {number}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
