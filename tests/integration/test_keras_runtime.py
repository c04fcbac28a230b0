"""The Keras runtime: the same answers as LiteRT from model.keras, and bare Keras files unchanged."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.rpc import DEADLINE
from support.servers.process import ServerProcess, run_server

from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

COUNT = 300


class Loaded(NamedTuple):
    folder: Path
    """The files, and what those that could be loaded answered."""
    rejections: list[str]


MAKE_AND_LOAD = """
import sys, pathlib
import numpy as np
from digits_server.errors import ModelRejected
from digits_server.runtimes.keras import KerasRuntime, keras
published, images = sys.argv[1:]
model = keras.saving.load_model(published)
model.save("raw.keras")
model.save("raw.h5")
unit = keras.Sequential([keras.Input((784,)), *(layer for layer in model.layers if layer.weights)])
unit.save("unit.h5")
keras.Sequential([keras.Input((5,)), keras.layers.Dense(10)]).save("other.keras")
code = [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Lambda(lambda x: x[:, :10])]
keras.Sequential(code).save("code.keras")
keras.Sequential(code).save("code.h5")
pathlib.Path("torn.keras").write_bytes(pathlib.Path("raw.keras").read_bytes()[:5000])
for name in ("raw.keras", "raw.h5", "other.keras", "code.h5", "torn.keras"):
    try:
        np.save(name + ".npy", KerasRuntime(pathlib.Path(name)).predict(np.load(images)))
    except ModelRejected as rejection:
        print(rejection.cause, rejection.message)
"""


@pytest.fixture(scope="module")
def loaded(repository: Path, test_images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Bare Keras files: the published network over raw pixels and over 0…1, another network, one with code inside.

    The process that makes them also loads some, as the server does: TensorFlow takes seconds to start.
    """
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "images.npy", test_images[:COUNT])
    make: list[str | Path] = [sys.executable, "-c", MAKE_AND_LOAD, repository / "digits/1/model.keras", "images.npy"]
    done = subprocess.run(make, check=True, capture_output=True, text=True, timeout=120, cwd=folder)
    return Loaded(folder, done.stdout.splitlines())


@pytest.fixture(scope="module")
def files(loaded: Loaded) -> Path:
    return loaded.folder


@pytest.fixture(scope="module")
def expected(server: ServerProcess, test_images: NDArray[np.uint8]) -> PredictResponse:
    """The answers of the LiteRT server."""
    with server.channel() as channel:
        return predict(channel, test_images)


def predict(channel: grpc.Channel, test_images: NDArray[np.uint8]) -> PredictResponse:
    request = PredictRequest(images=test_images[:COUNT].tobytes(), include_probabilities=True)
    return PredictionServiceStub(channel).Predict(request, timeout=DEADLINE)


@pytest.mark.parametrize(
    "flags",
    [
        ["--runtime", "keras"],
        ["--model", "unit.h5", "--model-pixels", "unit"],
    ],
    ids=" ".join,
)
def test_every_way_to_serve_the_network_gives_the_same_answers(
    repository: Path, files: Path, expected: PredictResponse, test_images: NDArray[np.uint8], flags: list[str]
) -> None:
    flags = [str(files / flag) if flag.endswith((".keras", ".h5")) else flag for flag in flags]
    with ServerProcess("--repository", repository, *flags) as server, server.channel() as channel:
        server.wait_ready()
        reply = predict(channel, test_images)
        model = PredictionServiceStub(channel).GetModel(GetModelRequest(), timeout=DEADLINE)
    assert list(reply.digits) == list(expected.digits)
    assert np.allclose(reply.probabilities, expected.probabilities, atol=1e-4)
    assert model.runtime == "keras"
    assert reply.model_version == model.manifest.model_version == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.keras", "there is no file"),
        ("notes.txt", "expected a .keras or .h5 file"),
        ("code.keras", "without code in it"),
    ],
)
def test_a_file_that_cannot_be_served_is_one_clear_sentence_and_exit_1(files: Path, name: str, words: str) -> None:
    files.joinpath("notes.txt").write_text("not a model")
    ended = run_server("--model", files / name)
    assert ended.returncode == 1
    assert words in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["raw.keras", "raw.h5"])
def test_a_file_over_raw_pixels_gives_the_same_answers(name: str, files: Path, expected: PredictResponse) -> None:
    """The runtime alone; the tests above serve with it."""
    probabilities = np.load(files / f"{name}.npy")
    assert list(probabilities.argmax(axis=1)) == list(expected.digits)
    assert np.allclose(probabilities.ravel(), expected.probabilities, atol=1e-4)


def test_the_runtime_says_of_each_kind_of_file_why_it_is_rejected(loaded: Loaded) -> None:
    assert loaded.rejections == [
        "load other.keras must take 28 × 28, 28 × 28 × 1 or 784 pixels and give 10 probabilities",
        "load code.h5 cannot be loaded as a Keras model without code in it",
        "load torn.keras cannot be loaded as a Keras model without code in it",
    ]


def test_without_tensorflow_the_start_ends_with_one_sentence(repository: Path, tmp_path: Path) -> None:
    for package in ("keras", "tensorflow"):
        tmp_path.joinpath(f"{package}.py").write_text(f"raise ImportError('no {package} here')\n")
    ended = run_server("--repository", repository, "--runtime", "keras", environment={"PYTHONPATH": str(tmp_path)})
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith(
        "the Keras runtime needs TensorFlow: install digits-server with its extra 'keras'"
    )
    assert "Traceback" not in ended.stderr
