"""Every setting is stated once, bounded, and refused by name."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from digits_training.errors import SettingsError
from digits_training.settings import Kind, Settings
from digits_training.settings import fields as settings_module


def test_the_defaults_are_the_reference_run() -> None:
    reference = Settings()
    assert (reference.network, reference.hidden_sizes, reference.activation) == ("mlp", (20, 20), "relu")
    assert (reference.optimizer, reference.batch_size, reference.epochs) == ("sgd", 20, 10)
    assert reference.validation_share == 0.3
    assert (reference.patience, reference.best_epoch, reference.averaging, reference.label_smoothing) == (
        0,
        False,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"network": "rnn"}, "--network 'rnn' is unknown: choose one of mlp, cnn, cnn-large"),
        ({"activation": "rleu"}, "--activation 'rleu' is unknown: choose one of celu, elu, .*, relu, "),
        ({"optimizer": "sdg"}, "--optimizer 'sdg' is unknown: choose one of .*, adam, .*, sgd$"),
        ({"schedule": "linear"}, "--schedule 'linear' is unknown: choose one of constant, cosine"),
        ({"pixel_range": "0-2"}, "--pixel-range '0-2' is unknown: choose one of auto, 0-1, 0-255"),
        ({"epochs": 0}, "--epochs must be from 1 to 10000, not 0"),
        ({"batch_size": -20}, "--batch-size must be from 1 to 100000, not -20"),
        ({"network": "cnn", "batch_size": 1}, "--batch-size must be at least 2 for the cnn, not 1"),
        ({"hidden_sizes": (20, 0)}, "--hidden-sizes must be from 1 to 4096, not 0"),
        ({"validation_share": 1.0}, "--validation-share must be from 0 to 0.9, not 1.0"),
        ({"seed": -1}, "--seed must be from 0 to 4294967295, not -1"),
        ({"min_accuracy": float("nan")}, "--min-accuracy must be from 0 to 1, not nan"),
        ({"max_regression": 1.5}, "--max-regression must be from 0 to 1, not 1.5"),
        ({"learning_rate": -0.1}, "--learning-rate must be at least 0, not -0.1"),
        ({"labels": tuple("012345678")}, "--labels must be ten different names, not '0,1,2,3,4,5,6,7,8'"),
        ({"labels": tuple("0123456788")}, "--labels must be ten different names"),
        ({"patience": 2, "validation_share": 0.0}, "--patience needs validation images: give a --validation-share"),
        ({"best_epoch": True, "validation_share": 0.0}, "--best-epoch needs validation images"),
        ({"label_smoothing": 1.0}, "--label-smoothing must be from 0 to 0.9, not 1.0"),
        ({"averaging": 1.0}, "--averaging must be from 0 to 0.9999, not 1.0"),
        ({"network": "cnn", "hidden_sizes": (50, 50)}, "the cnn does not use --hidden-sizes: Units of the mlp's"),
        ({"network": "cnn-large", "hidden_sizes": (50,)}, "the cnn-large does not use --hidden-sizes"),
        ({"network": "net.py:build", "hidden_sizes": (50,)}, "net.py:build does not use --hidden-sizes"),
        ({"network": "a/net.py:build", "activation": "tanh"}, "net.py:build does not use --activation"),
        ({"network": "net.py:build", "dropout": 0.5}, "net.py:build does not use --dropout"),
        (
            {"network": "net.py"},
            "--network 'net.py' does not name a function: expected FILE.py:FUNCTION, for example net.py:build",
        ),
        ({"network": "net.py:build it"}, "does not name a function"),
        ({"network": f"{'n' * 100}.py:build"}, "must have at most 100 printable characters: rename the file"),
        ({"network": "n\n.py:build"}, "must have at most 100 printable characters"),
        ({"dropout": 0.5}, "the mlp does not use --dropout: Share of the cnn's"),
        ({"save": Path("model.pb")}, "--save writes .keras, .h5 files, not 'model.pb'"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as refused:
        Settings(**values)
    assert refused.value.exit_code == 2


def test_a_network_brings_its_own_defaults_and_the_caller_overrules_them() -> None:
    assert Settings.for_network(network="cnn").optimizer == "adamw"
    assert Settings.for_network(network="cnn", optimizer="sgd").optimizer == "sgd"
    assert Settings.for_network() == Settings()


def test_no_path_counts_as_a_hyperparameter() -> None:
    hyperparameters = Settings().of_kind(Kind.HYPERPARAMETER)
    assert {"network", "epochs", "seed", "validation_share"} <= hyperparameters.keys()
    assert not {each.name for each in fields(Settings) if "Path" in str(each.type)} & hyperparameters.keys()


def test_the_activations_are_all_of_keras_but_two() -> None:
    import keras

    keras_names = {name for name in dir(keras.activations) if not name.startswith("_")}
    keras_names -= {"get", "serialize", "deserialize"}
    assert set(settings_module.ACTIVATIONS) == (keras_names | {"swish", "hard_swish"}) - {"glu", "threshold"}


def test_the_optimizers_are_all_of_keras_that_stand_alone() -> None:
    import keras

    classes = {name for name, value in vars(keras.optimizers).items() if isinstance(value, type)}
    combining = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
    unresolved = {"Lamb"}  # keras.optimizers.get does not know its name
    assert set(settings_module.OPTIMIZERS) == {name.lower() for name in classes - combining - unresolved}
