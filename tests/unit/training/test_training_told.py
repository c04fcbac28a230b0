"""What a run tells before it ends: arrays that are not used, light paper, advice; and the signature it leaves."""

from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from digits_training import cli
from digits_training.data import DataSet
from digits_training.errors import NetworkError
from digits_training.networks import backend
from digits_training.own_network import adapted, source

Capture = pytest.CaptureFixture[str]

WITH_AN_OBJECT = """
import keras

class Scaled(keras.layers.Layer):
    def __init__(self, how):
        super().__init__()

    def call(self, images):
        return images

def build():
    return keras.Sequential([keras.Input((784,)), Scaled(object()), keras.layers.Dense(10)])
"""
UNSCALED = """
import keras

def build():
    return keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
"""


@pytest.fixture
def few(small: DataSet, tmp_path: Path) -> Path:
    """200 training and 100 test images on white paper, and an array that is not used."""
    path = tmp_path / "set.npz"
    train, test = small.train.take(np.arange(200)), small.test.take(np.arange(100))
    arrays = {
        "x_train": 255 - train.images,
        "y_train": train.labels,
        "x_test": 255 - test.images,
        "y_test": test.labels,
    }
    np.savez(path, **arrays, val_images=np.zeros(3))  # type: ignore[arg-type] # its stubs take a flag for an array
    return path


def test_arrays_that_are_not_used_are_told_before_training(few: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "net.py").write_text("def build():\n    raise ValueError('stop here')\n")
    run = ["train", "--network", f"{tmp_path / 'net.py'}:build", "--data", str(few), "--runs", str(tmp_path / "runs")]
    assert cli.run([*run, "--repository", str(tmp_path)]) != 0
    said = capsys.readouterr()
    assert "not used: val_images of set.npz\n" in said.out
    assert "stop here" in said.err


def test_light_paper_is_warned_of_before_an_import(few: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "model.h5").write_bytes(b"no model")
    run = ["import", str(tmp_path / "model.h5"), "--data", str(few), "--runs", str(tmp_path / "runs")]
    assert cli.run([*run, "--repository", str(tmp_path)]) != 0
    said = capsys.readouterr()
    assert "warning: not used: val_images of set.npz\n" in said.out
    assert "warning: 100% of the images look like dark ink on light paper" in said.out
    assert "not a valid HDF5 file" in said.err


def _source(code: str, folder: Path) -> source.Source:
    (folder / "net.py").write_text(code)
    read = source.read(f"{folder / 'net.py'}:build")
    assert read
    return read


def test_the_author_of_a_network_is_warned(small: DataSet, tmp_path: Path) -> None:
    backend.start(seed=0)
    said: list[str] = []
    adapted.network_of(_source(UNSCALED, tmp_path), small.train, said.append)
    assert [line.split(" 0 to ")[0] for line in said] == ["warning: net.py:build: the network gets pixels from"]


def test_a_layer_that_keras_cannot_save_is_refused(small: DataSet, tmp_path: Path) -> None:
    backend.start(seed=0)
    with pytest.raises(NetworkError, match=r"net\.py:build: Keras cannot save the model: "):
        adapted.network_of(_source(WITH_AN_OBJECT, tmp_path), small.train, print)


def test_a_version_is_signed_as_it_is_published(few: Path, tmp_path: Path) -> None:
    keys = ["--sign-key", str(tmp_path / "key.pem"), "--public-key", str(tmp_path / "public.pem")]
    run = ["train", "--data", str(few), "--invert", "--epochs", "1", "--hidden-sizes", "10", "--force", *keys]
    assert cli.run([*run, "--repository", str(tmp_path), "--runs", str(tmp_path / "runs")]) == 0
    folder = tmp_path / "digits/1"
    public = load_pem_public_key((tmp_path / "public.pem").read_bytes())
    public.verify((folder / "manifest.json.sig").read_bytes(), (folder / "manifest.json").read_bytes())  # type: ignore[call-arg, union-attr]
