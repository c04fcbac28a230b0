"""Folders of picture files and Parquet files of them: training sees the pixels that the server would see."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

from digits_server.pictures.images import from_file
from digits_training import data
from digits_training.data import DataSet, Reading
from digits_training.errors import DataError


def _png(image: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(small: DataSet, tmp_path: Path) -> Path:
    """Thirty training and ten test pictures, as train/7/12.png and test/7/3.png."""
    for part, labelled, count in (("train", small.train, 30), ("test", small.test, 10)):
        for index in range(count):
            path = tmp_path / f"mine/{part}/{labelled.labels[index]}/{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_png(labelled.images[index]))
    return tmp_path / "mine"


def _pixels(images: NDArray[np.uint8]) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_a_folder_of_pictures_is_read_by_label(folder: Path, small: DataSet) -> None:
    read = data.read(folder)
    assert (len(read.train), len(read.test), read.test_share) == (30, 10, 0)
    assert _pixels(read.train.images) == _pixels(small.train.images[:30])
    for image, label in zip(read.test.images, read.test.labels, strict=True):
        (index,) = [i for i in range(10) if np.array_equal(small.test.images[i], image)]
        assert label == small.test.labels[index]
    (file,) = read.files
    assert (file.name, len(file.sha256)) == ("mine", 64)


def test_a_photograph_becomes_the_pixels_that_the_server_would_see(folder: Path, small: DataSet) -> None:
    paper = np.full((300, 260, 3), 230, np.uint8)
    paper[60:256, 30:226] -= np.repeat(np.repeat(small.train.images[0] // 2, 7, axis=0), 7, axis=1)[:, :, None]
    content = _png(paper)
    path = folder / "train/5/photograph.png"
    path.write_bytes(content)
    assert from_file(content, "image", 10**6).tobytes() in _pixels(data.read(folder).train.images)


def test_pictures_without_a_folder_for_tests_are_split(folder: Path) -> None:
    read = data.read(folder / "train", Reading(test_share=0.2))
    assert (len(read.train), len(read.test), read.test_share) == (24, 6, 0.2)


def test_folders_may_bear_the_names_of_the_labels(folder: Path) -> None:
    labels = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    before = data.read(folder)
    for path in [*folder.glob("*/*")]:
        path.rename(path.with_name(labels[int(path.name)]))
    after = data.read(folder, Reading(labels=labels))
    assert sorted(before.train.labels) == sorted(after.train.labels)


def test_a_changed_picture_changes_the_checksum_of_the_folder(folder: Path) -> None:
    before = data.files_at(folder)
    assert data.files_at(folder) == before
    (folder / "train/.DS_Store").write_bytes(b"hidden")
    assert data.files_at(folder) == before
    path = next(folder.glob("test/*/*.png"))
    path.write_bytes(next(folder.glob("train/*/*.png")).read_bytes())
    assert data.files_at(folder) != before


def test_pictures_that_cannot_be_read_are_counted_and_named(folder: Path) -> None:
    for name in ("7/broken.png", "0/text.png"):
        path = folder / "train" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2 pictures cannot be read; .*: train/0/text\.png: not a valid PNG"):
        data.read(folder)


def test_a_folder_that_is_not_called_by_a_label_is_named(folder: Path) -> None:
    (folder / "train/seven").mkdir()
    with pytest.raises(DataError, match=r"train/seven is not named after a label: expected one of 0, 1, .*--labels"):
        data.read(folder)


def test_a_picture_beside_the_folders_is_named(folder: Path) -> None:
    (folder / "train/7.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"train/7\.png is beside the folders of labels"):
        data.read(folder)


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("digits_server", "with its extra 'pictures'"),
        ("pyarrow", "with its extra 'parquet'"),
    ],
)
def test_a_package_that_is_missing_is_named(missing: str, sentence: str, folder: Path) -> None:
    if missing == "pyarrow":
        (folder / "train-00000.parquet").write_bytes(b"")
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"from digits_training import cli; sys.exit(cli.run(['train', '--data', {str(folder)!r}]))"
    )
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode == 2
    assert sentence in failed.stderr


def _parquet(path: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    cells = [{"bytes": _png(image), "path": None} for image in images]
    parquet.write_table(pa.table({"image": cells, "label": labels.tolist()}), path)


def test_parquet_files_as_data_hubs_publish_them_are_read(small: DataSet, tmp_path: Path) -> None:
    _parquet(tmp_path / "train-00000-of-00001.parquet", small.train.images[:30], small.train.labels[:30])
    _parquet(tmp_path / "test-00000-of-00001.parquet", small.test.images[:10], small.test.labels[:10])
    read = data.read(tmp_path)
    assert np.array_equal(read.train.images, small.train.images[:30])
    assert np.array_equal(read.test.labels, small.test.labels[:10])
    alone = data.read(tmp_path / "train-00000-of-00001.parquet", Reading(test_share=0.1))
    assert (len(alone.train), len(alone.test)) == (27, 3)


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"text": ["a"], "label": [1]}), path)
    with pytest.raises(DataError, match=r"other\.parquet must have a column image; found: text, label"):
        data.read(path)
    parquet.write_table(pa.table({"image": ["a"], "label": [1]}), path)
    with pytest.raises(DataError, match="the column image must hold picture files as bytes"):
        data.read(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"other\.parquet is not a sound Parquet file"):
        data.read(path)
