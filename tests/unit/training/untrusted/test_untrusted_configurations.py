"""Attacks: a configuration that would run code or exhaust memory is refused before a layer of it is built."""

import io
import json
import resource
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.training.untrusted_files import (
    Config,
    Write,
    add_layer,
    keras_file,
    refused,
)

from digits_training import cli
from digits_training.errors import ModelFileError
from digits_training.importing import loading
from digits_training.untrusted import files


def test_the_honest_files_are_taken(honest: Path) -> None:
    for name in ("model.keras", "model.h5", "saved_model"):
        assert loading.load(honest / name).output_shape == (None, 10)


def _lambda(evidence: Path) -> Config:
    """What Keras writes for a Lambda layer whose code creates a file when it is called."""
    import keras

    layer = keras.layers.Lambda(eval(f"lambda x: (open({str(evidence)!r}, 'w').close(), x)[1]"))  # noqa: S307
    return dict(keras.saving.serialize_keras_object(layer))


def test_a_lambda_layer_with_code(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evidence = tmp_path / "code-ran"
    path = write(lambda config: add_layer(config, _lambda(evidence)))
    assert cli.run(["import", str(path), "--repository", str(tmp_path / "models")]) == 1
    assert capsys.readouterr().err == "digits-train: refused: 'Lambda' is not among the layers that can be imported\n"
    assert not evidence.exists()
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"class_name": "Popen", "module": "subprocess", "config": {"args": ["touch", "x"]}}, "module 'subprocess'"),
        ({"class_name": "system", "module": "os", "config": "touch x"}, "the module 'os'"),
        ({"class_name": "function", "module": "builtins", "config": "eval"}, "the module 'builtins'"),
        (
            {"class_name": "function", "module": "keras.utils", "config": "get_file", "registered_name": "get_file"},
            "'function' is not among the layers that can be imported",
        ),
        ({"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/"}}, "'TFSMLayer' is not"),
        ({"class_name": "TorchModuleWrapper", "module": "keras.layers", "config": {}}, "'TorchModuleWrapper' is not"),
        ({"class_name": "StringLookup", "module": "keras.layers", "config": {"vocabulary": "/etc/passwd"}}, "is not"),
        (
            {"class_name": "Dense", "module": "keras.layers", "registered_name": "evil>Dense", "config": {"units": 3}},
            "'evil>Dense', which is not Keras's own",
        ),
        ({"class_name": "__lambda__", "config": {"value": ["gAAA", None, None]}}, "'__lambda__' is not"),
        ({"class_name": "__typespec__", "module": "os", "config": []}, "module 'os'"),
        ({"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}}, "'__numpy__' is not"),
        ({"class_name": ["Dense"], "config": {}}, "is not among the layers that can be imported"),
    ],
)
def test_a_class_or_module_that_is_not_on_the_list(node: Config, sentence: str, write: Write) -> None:
    refused(write(lambda config: add_layer(config, node)), sentence)


@pytest.mark.parametrize(
    "value",
    ["eval", "evil>activation", {"class_name": "function", "module": "builtins", "config": "exec"}],
    ids=["builtin", "registered", "function"],
)
def test_an_activation_that_is_not_keras_own(value: Any, write: Write) -> None:
    def change(config: Config) -> None:
        config["config"]["layers"][-1]["config"]["activation"] = value

    refused(write(change), "is not one of Keras's own|asks for the function")


def test_an_object_hidden_deep_in_the_configuration(write: Write) -> None:
    def change(config: Config) -> None:
        config["config"]["layers"][-1]["config"]["units"] = [{"class_name": "x", "module": "os"}]

    refused(write(change), "where a number was expected")


def test_a_configuration_nested_beyond_reason(write: Write) -> None:
    def change(config: Config) -> None:
        nested: Any = []
        for _ in range(200):
            nested = [nested]
        config["config"]["layers"][-1]["config"]["units"] = nested

    refused(write(change), "nested too deeply")


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1_000_000_000, "name": "wide"}},
        {"class_name": "Reshape", "module": "keras.layers", "config": {"target_shape": [1, 10, 1], "name": "r"}},
    ],
    ids=["weights", "features"],
)
def test_a_layer_too_large_for_any_memory(layer: Config, write: Write) -> None:
    padding = {"class_name": "ZeroPadding2D", "module": "keras.layers", "config": {"padding": 9_999, "name": "p"}}

    def change(config: Config) -> None:
        add_layer(config, layer)
        if layer["class_name"] == "Reshape":
            add_layer(config, padding)

    refused(write(change), "parameters and layers of up to .* values an image")


def _nest(config: Config, compile_config: Config) -> None:
    """Puts a model with a `compile_config` inside the model."""
    inner = json.loads(json.dumps(config))
    inner["compile_config"] = compile_config
    config["config"]["layers"].append(inner)


def test_a_nested_compile_config_does_not_reach_keras(honest: Path, tmp_path: Path) -> None:
    path = keras_file(honest, tmp_path / "nested.keras", lambda config: _nest(config, {"loss": "stranger"}))
    copy = files.private_copy(path.read_bytes(), ".keras")
    assert b"stranger" in path.read_bytes()
    assert "compile_config" not in zipfile.ZipFile(io.BytesIO(copy)).read("config.json").decode()


def test_an_error_message_quotes_only_the_start_of_a_long_name(write: Write) -> None:
    path = write(lambda config: add_layer(config, {"class_name": "x" * 100_000, "config": {}}))
    with pytest.raises(ModelFileError) as refusal:
        loading.load(path)
    assert len(str(refusal.value)) < 400


def test_a_model_that_computes_in_mixed_float16(write: Write) -> None:
    policy = {"class_name": "DTypePolicy", "module": "keras", "config": {"name": "mixed_float16"}}

    def change(config: Config) -> None:
        config["config"]["layers"][1]["config"]["dtype"] = policy

    refused(write(change), "computes in 'mixed_float16'; set its dtype policy to 'float32'")


def test_a_huge_layer_inside_a_nested_model(tmp_path: Path) -> None:
    import keras

    inner = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.ZeroPadding2D(1), keras.layers.Cropping2D(1)])
    layers = [keras.Input((28, 28, 1)), inner, keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential(layers).save(tmp_path / "small.keras")

    def change(config: Config) -> None:
        padding, cropping = config["config"]["layers"][1]["config"]["layers"][1:3]
        padding["config"]["padding"] = cropping["config"]["cropping"] = [[20_000, 20_000], [20_000, 20_000]]

    (tmp_path / "small.keras").rename(tmp_path / "model.keras")
    refused(keras_file(tmp_path, tmp_path / "huge.keras", change), "layers of up to 1,602,240,784 values an image")


def test_a_layer_that_computes_while_it_is_built_cannot_take_the_memory(write: Write) -> None:
    """Keras spreads a given mean over the layer's shape before anybody can ask how large the layer is."""

    def change(config: Config) -> None:
        layers: Config = {
            "Reshape": {"target_shape": [1, 10, 1]},
            "ZeroPadding2D": {"padding": 20_000},
            "Normalization": {"axis": [1, 2], "mean": 0.0, "variance": 1.0},
        }
        for name, keys in layers.items():
            add_layer(config, {"class_name": name, "module": "keras.layers", "config": {"name": name, **keys}})

    path = write(change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "takes more than 2,048 MiB of memory")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB
