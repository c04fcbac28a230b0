"""A small data set, and a small model published from it once for all tests of the training job."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from support.models.warm_loader import WarmLoader
from support.shared import made_once

from digits_training import cli, data
from digits_training.data import DataSet, LabelledImages
from digits_training.importing import loading


@pytest.fixture(scope="session", autouse=True)
def warm_loader() -> Iterator[None]:
    """Has one process start TensorFlow for all files that are tried; integration tests start one for each."""
    with WarmLoader() as loader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load_in_child", loader)
        yield


_draw = Figure.draw


@pytest.fixture(autouse=True)
def blank_pictures() -> Iterator[pytest.MonkeyPatch]:
    """Every picture is written, but stays white: to draw a report takes half of the time of a short training run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "draw", lambda figure, renderer: None)  # noqa: ARG005 - the parameters of matplotlib
        yield patch


@pytest.fixture
def drawn_pictures(blank_pictures: pytest.MonkeyPatch) -> None:
    """For tests of pictures: they are drawn."""
    blank_pictures.undo()


WriteIdx = Callable[[Path, NDArray[np.uint8]], None]


@pytest.fixture(scope="session")
def write_idx() -> WriteIdx:
    """Writes an array of bytes as an IDX file, compressed if its name ends in .gz."""

    def write(path: Path, array: NDArray[np.uint8]) -> None:
        content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
        path.write_bytes(gzip.compress(content, 1, mtime=0) if path.suffix == ".gz" else content)

    return write


WriteDataSet = Callable[[Path, LabelledImages, LabelledImages], Path]


@pytest.fixture(scope="session")
def write_data_set(write_idx: WriteIdx) -> WriteDataSet:
    """Writes training and test images as the four IDX files of a data set, into a folder it makes."""

    def write(directory: Path, train: LabelledImages, test: LabelledImages) -> Path:
        directory.mkdir(parents=True)
        for name, part in (("train", train), ("t10k", test)):
            write_idx(directory / f"{name}-images-idx3-ubyte.gz", part.images)
            write_idx(directory / f"{name}-labels-idx1-ubyte.gz", part.labels)
        return directory

    return write


@pytest.fixture(scope="session")
def mnist() -> DataSet:
    return data.read(None)


@pytest.fixture(scope="session")
def small(mnist: DataSet) -> DataSet:
    """The first 3,000 training and 1,000 test images of MNIST."""
    return DataSet(mnist.train.take(np.arange(3000)), mnist.test.take(np.arange(1000)), ())


@pytest.fixture(scope="session")
def parts(small: DataSet) -> tuple[LabelledImages, LabelledImages]:
    """810 training and 90 validation images: the last batch of 20 is half full."""
    return data.split(small.train.take(np.arange(900)), 0.1, seed=0)


@pytest.fixture(scope="session")
def small_data(small: DataSet, write_data_set: WriteDataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a folder for `--data`."""
    return write_data_set(tmp_path_factory.mktemp("data") / "small", small.train, small.test)


@pytest.fixture(scope="session")
def tiny(mnist: DataSet) -> DataSet:
    """The first 600 training and 300 test images of MNIST, for a cnn that need not be good."""
    return DataSet(mnist.train.take(np.arange(600)), mnist.test.take(np.arange(300)), ())


@pytest.fixture(scope="session")
def tiny_data(tiny: DataSet, write_data_set: WriteDataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a folder for `--data`."""
    return write_data_set(tmp_path_factory.mktemp("data") / "tiny", tiny.train, tiny.test)


@pytest.fixture(scope="session")
def published(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one version of a small mlp, published by the command line. Tests only read it."""

    def train(repository: Path) -> None:
        where = ["--repository", str(repository), "--data", str(small_data)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Figure, "draw", _draw)  # whichever test asks first: others look at the pictures
            assert cli.run(["train", *where, "--epochs", "4", "--min-accuracy", "0.6"]) == 0

    return made_once(tmp_path_factory, "published", train)
