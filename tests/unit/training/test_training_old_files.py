"""Files of tf.keras 1.13 to 2.15, as people have published them, become the models they were."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.models.old_keras import write_h5
from support.training.old_networks import (
    DIGITS,
    GLOROT_OF_1_13,
    GLOROT_OF_KERAS_2_2,
    MLP_ANSWERS,
    MLP_WEIGHTS,
    Config,
    loaded,
    mlp,
)

from digits_training import cli
from digits_training.errors import ModelFileError
from digits_training.untrusted import files

REGULARIZER_OF_ONES_OWN = {"class_name": "MyRegularizer", "config": {"strength": 0.1}}


@pytest.mark.parametrize(
    ("version", "model"),
    [
        ("2.2.4-tf", {"name": "sequential", "layers": mlp("softmax_v2")}),
        (
            "2.2.4-tf",
            {"name": "sequential", "layers": mlp(dtype={"class_name": "Policy", "config": {"name": "float32"}})},
        ),
        ("2.1.6", mlp(kernel_initializer=GLOROT_OF_KERAS_2_2)),
        ("2.4.0", {"name": "sequential", "layers": mlp(kernel_regularizer=REGULARIZER_OF_ONES_OWN)}),
        ("2.15.0", {"name": "sequential", "layers": mlp(), "build_input_shape": [None, 28, 28]}),
    ],
    ids=["tf 1.13", "tf 1.15", "keras 2.1", "tf 2.4", "tf 2.15"],
)
def test_the_network_of_a_tutorial(version: str, model: Any, tmp_path: Path) -> None:
    config = {"class_name": "Sequential", "config": model}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version=version)
    assert np.asarray(loaded(path, tmp_path)(DIGITS)) == pytest.approx(MLP_ANSWERS, abs=1e-5)


def test_an_old_file_becomes_a_version(small_data: Path, tmp_path: Path) -> None:
    """Through the command, the process with limits and the conversion."""
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": mlp("softmax_v2")}}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version="2.2.4-tf")
    options = ["--repository", str(tmp_path), "--data", str(small_data), "--min-accuracy", "0"]
    assert cli.run(["import", str(path), *options]) == 0
    assert (tmp_path / "digits/1/model.tflite").exists()


def test_a_layer_with_keras_2_13s_own_description_of_its_making(tmp_path: Path) -> None:
    layers = mlp(kernel_initializer=GLOROT_OF_1_13 | {"module": "keras.initializers", "registered_name": None})
    for layer in layers:
        layer |= {"module": "keras.layers", "registered_name": None, "build_config": {"input_shape": [None, 784]}}
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version="2.13.1")
    assert np.asarray(loaded(path, tmp_path)(DIGITS)) == pytest.approx(MLP_ANSWERS, abs=1e-5)


def test_a_function_that_changed_with_keras_3_is_refused(tmp_path: Path) -> None:
    """`hard_sigmoid` had the slope 1/5 in Keras 2 and has 1/6 since: the answers would be others, without a word."""
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": mlp("hard_sigmoid")}}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version="2.15.0")
    with pytest.raises(ModelFileError, match="activation 'hard_sigmoid' is another function in Keras 3"):
        files.private_copy(path.read_bytes(), ".h5")


def test_a_recurrent_layer_is_refused_by_name(tmp_path: Path) -> None:
    layers = [*mlp()[:1], {"class_name": "CuDNNLSTM", "config": {"name": "lstm", "units": 8, "time_major": False}}]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    path = write_h5(tmp_path / "old.h5", config, MLP_WEIGHTS, version="2.2.4-tf")
    with pytest.raises(ModelFileError, match="'CuDNNLSTM' is not among the layers that can be imported"):
        files.private_copy(path.read_bytes(), ".h5")


def test_a_configuration_longer_than_an_hdf5_attribute_of_bytes(tmp_path: Path) -> None:
    dropouts = [{"class_name": "Dropout", "config": {"name": f"dropout_{i}", "rate": 0.2}} for i in range(1_000)]
    config: Config = {"class_name": "Sequential", "config": {"name": "deep", "layers": [*mlp(), *dropouts]}}
    path = write_h5(tmp_path / "deep.h5", config | {"config": {}}, MLP_WEIGHTS, version="2.15.0")
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
        assert len(file.attrs["model_config"]) > 2**16
    copy = files.private_copy(path.read_bytes(), ".h5")
    assert len(files.checked(copy, ".h5")["config"]["layers"]) == 1_005
