"""The user's own network: refused with a sentence, or trained, proved and published like a built-in one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits_training import cli, data
from digits_training.data import DataSet, LabelledImages
from digits_training.errors import NetworkError
from digits_training.fitting.checkpoint import Checkpoint
from digits_training.fitting.fit import fit
from digits_training.networks import backend
from digits_training.networks.predictions import probabilities_of
from digits_training.own_network import adapted, source
from digits_training.settings import Settings

NETWORK = """
import keras
from keras import layers

def build():
    augmentation = keras.Sequential([layers.RandomRotation(0.03), layers.RandomZoom(0.1)])
    inputs = keras.Input((28, 28, 1))
    x = layers.Resizing(28, 28)(layers.Rescaling(1 / 255)(augmentation(inputs)))
    x = layers.Conv2D(4, 3, strides=2, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01))(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.Dropout(0.1)(layers.Flatten()(layers.ReLU()(layers.Add()([x, y]))))
    return keras.Model(inputs, layers.Dense(10)(x))
"""


@pytest.fixture
def network(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NETWORK)
    return f"{tmp_path / 'net.py'}:build"


@pytest.fixture
def sample(small: DataSet) -> LabelledImages:
    return small.train.take(np.arange(100))


def _returned(expression: str, folder: Path) -> Any:
    """What a function that returns this expression gives."""
    backend.start(seed=0)
    code = f"import keras\nfrom keras import layers\nInput = keras.Input\ndef build():\n    return {expression}\n"
    (folder / "net.py").write_text(code)
    found = source.read(f"{folder / 'net.py'}:build")
    assert found
    return found.build()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def make(): pass\ndef other(): pass", "net.py has no function 'build'; its functions: make, other"),
        ("build = []", "net.py:build is a list, not a function that returns a keras.Model"),
        (
            "def build(units): pass",
            "net.py:build must be callable without arguments: missing a required argument: 'units'",
        ),
        ("def build(:", "net.py, line 1: invalid syntax"),
        ("def build(): pass\0", "net.py.*: source code (string )?cannot contain null bytes"),
        ("import nowhere_to_be_found", "net.py cannot be run: ModuleNotFoundError: No module named .*, line 1"),
        ("import sys\nsys.exit(3)", "net.py cannot be run: SystemExit: 3 .net.py, line 2"),
        ("def build():\n    x = 1\n    return x / 0", "net.py:build raised ZeroDivisionError: .* .net.py, line 3"),
    ],
)
def test_code_that_fails_is_told_with_file_and_line(code: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(code)
    found = source.read(f"{tmp_path / 'net.py'}:build")
    assert found
    with pytest.raises(NetworkError, match=sentence):
        found.build()


def test_the_traceback_of_ones_own_code_is_printed_on_request(
    small_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text("def build():\n    raise ValueError('a slip')\n")
    where = ["--data", str(small_data), "--network", f"{tmp_path / 'net.py'}:build", "--repository", str(tmp_path)]
    sentence = "digits-train: net.py:build raised ValueError: a slip (net.py, line 2)"
    assert cli.run(["train", *where]) == 1
    assert capsys.readouterr().err == f"{sentence}\n"
    assert cli.run(["--traceback", "train", *where]) == 1
    said = capsys.readouterr().err
    assert "in build" in said
    assert said.endswith(f"{sentence}\n")


def test_a_file_that_is_not_there_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.py").mkdir()
    for name, what in (("nowhere.py", "does not exist"), ("folder.py", "is not a file")):
        assert cli.run(["train", "--network", f"{tmp_path / name}:build", "--runs", str(tmp_path / "runs")]) == 1
        assert f"{name} {what}: expected FILE.py:FUNCTION, for example net.py:build" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("[1, 2]", "returned builtins.list, not a keras.Model"),
        ("type('Mine', (keras.Model,), {})()", "returned a subclass, .*Mine"),
        (
            "keras.Sequential([layers.Dense(10)])",
            r"does not say what input it takes: begin it with keras.Input\(\(28, 28, 1\)",
        ),
        ("keras.Sequential([Input((32, 32, 3)), layers.Flatten(), layers.Dense(10)])", r"takes \[32, 32, 3\], not"),
        ("keras.Sequential([Input((784,)), layers.Dense(11)])", r"returns \[11\], not \[10\]"),
        ("keras.Sequential([Input((784,), dtype='float16'), layers.Dense(10)])", "takes float16, not float32 or uint8"),
        ("keras.Sequential([Input((784,), batch_size=32), layers.Dense(10)])", "takes batches of 32 images only"),
        (
            "keras.Sequential([Input((28, 28)), layers.Lambda(lambda x: x), layers.Flatten(), layers.Dense(10)])",
            "'Lambda' is not among the layers that can be imported .docs/keras-users.md",
        ),
        (
            "keras.Sequential([Input((28, 28)), layers.LSTM(8), layers.Dense(10)])",
            "'LSTM' is not among the layers that can be imported",
        ),
        (
            "keras.Sequential([Input((28, 28, 1)), layers.Resizing(32, 32), layers.Flatten(), layers.Dense(10)])",
            "resizes 28 × 28 × 1 to 32 × 32 × 1",
        ),
        ("keras.Sequential([Input((784,)), layers.Dense(10, trainable=False)])", "no weights to train"),
        ("keras.Sequential([Input((784,)), layers.Dense(10)], name='images')", "Keras refuses the model: .*images"),
    ],
)
def test_what_is_not_a_network_of_digits_that_can_be_served_is_refused(
    expression: str, sentence: str, sample: LabelledImages, tmp_path: Path
) -> None:
    with pytest.raises(NetworkError, match=f"^net.py:build: .*{sentence}"):
        adapted.adapted(_returned(expression, tmp_path), "net.py:build", sample)


@pytest.mark.parametrize(
    ("shape", "dtype", "last"),
    [((784,), "uint8", "softmax"), ((28, 28, 1), "float32", None), ((28, 28), "uint8", None)],
)
def test_a_network_gets_raw_pixels_and_gives_probabilities(
    shape: tuple[int, ...], dtype: str, last: str | None, sample: LabelledImages, tmp_path: Path
) -> None:
    import keras

    ends = f"Input({shape}, dtype={dtype!r}), layers.Rescaling(1 / 255), layers.Flatten()"
    mine = _returned(f"keras.Sequential([{ends}, layers.Dense(10, activation={last!r})])", tmp_path)
    network = adapted.adapted(mine, "net.py:build", sample)
    assert (network.input_shape, network.inputs[0].dtype) == ((None, 28, 28), "uint8")
    images = sample.images[:50]
    answers = np.asarray(mine(images.reshape(-1, *shape).astype(dtype)))
    expected = answers if last else np.asarray(keras.ops.softmax(answers))
    assert probabilities_of(network, images) == pytest.approx(expected, abs=1e-5)
    assert adapted.advice(mine) == []


def test_an_author_is_told_what_they_may_have_meant_otherwise(tmp_path: Path) -> None:
    mine = _returned("keras.Sequential([Input((784,)), layers.Dense(10)])", tmp_path)
    mine.compile(optimizer="adam")
    scaling, compiled = adapted.advice(mine)
    assert "does not scale them: begin it with keras.layers.Rescaling(1 / 255)" in scaling
    assert "the arguments of compile() are not used" in compiled


def _fitted(network: Any, parts: tuple[LabelledImages, LabelledImages], folder: Path, stop_after: str = "never") -> Any:
    def stop(line: str) -> None:
        if line.startswith(stop_after):
            raise InterruptedError

    settings = Settings(network="net.py:build", epochs=2, seed=3)
    fit(network, *parts, settings=settings, checkpoint=Checkpoint(folder, "run"), say=stop)
    return network


@pytest.fixture
def parts(small: DataSet) -> tuple[LabelledImages, LabelledImages]:
    return data.split(small.train.take(np.arange(300)), 0.1, seed=0)


def _fresh(network: str, sample: LabelledImages) -> Any:
    backend.start(seed=3)
    found = source.read(network)
    assert found
    return adapted.adapted(found.build(), found.name, sample)


def test_a_step_is_keras_own_with_batch_normalisation_and_branches_too(
    parts: tuple[LabelledImages, LabelledImages], sample: LabelledImages, tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(
        NETWORK.replace("augmentation(inputs)", "inputs").replace("layers.Dropout(0.1)", "layers.Identity()")
    )
    train, network = parts[0], f"{tmp_path / 'net.py'}:build"
    fitted, plain = _fitted(_fresh(network, sample), parts, tmp_path), _fresh(network, sample)
    plain.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    for epoch in range(2):
        order = np.random.default_rng([3, epoch]).permutation(len(train))
        for start in range(0, len(train), 20):
            batch = order[start : start + 20]
            plain.train_on_batch(train.images[batch], train.labels[batch])
    for ours, keras in zip(fitted.get_weights(), plain.get_weights(), strict=True):
        assert ours == pytest.approx(keras, abs=1e-4)


def test_augmentation_inside_goes_on_after_an_interruption_as_it_would_have(
    network: str, parts: tuple[LabelledImages, LabelledImages], sample: LabelledImages, tmp_path: Path
) -> None:
    once = _fitted(_fresh(network, sample), parts, tmp_path / "once")
    with pytest.raises(InterruptedError):
        _fitted(_fresh(network, sample), parts, tmp_path / "twice", stop_after="epoch 1/2")
    twice = _fitted(_fresh(network, sample), parts, tmp_path / "twice")
    for ours, theirs in zip(once.get_weights(), twice.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)
