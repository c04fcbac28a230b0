"""Data sets that are refused, and the sentence that says why: one row for each refusal of a reader of files."""

import gzip
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet
from support.training.data_sets import refused_data

from digits_training import data
from digits_training.data import LabelledImages, Reading, checks
from digits_training.data.formats import csv_files, pictures
from digits_training.data.formats import parquet as parquet_files

ROW = ",".join(["0"] * 785) + "\n"
HEADER = "label," + ",".join(f"pixel{index}" for index in range(784)) + "\n"
IMAGES, LABELS = np.zeros((20, 28, 28), np.uint8), np.arange(20) % 10
DIGITS = tuple("0123456789")

Write = Callable[[Path], object]


def _picture() -> bytes:
    file = BytesIO()
    Image.fromarray(IMAGES[0]).save(file, "PNG")
    return file.getvalue()


def _picture_at(name: str) -> Write:
    def write(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(_picture())

    return write


def _arrays(**arrays: NDArray[Any]) -> Write:
    def write(folder: Path) -> None:
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)

    return write


def _table(name: str, image: list[bytes], label: list[object]) -> Write:
    return lambda folder: parquet.write_table(pa.table({"image": image, "label": label}), folder / name)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (_arrays(x_train=IMAGES, y_train=LABELS.astype(complex)), "must be whole numbers from 0 to 9, not complex128"),
        (
            _arrays(x_train=IMAGES, images_train=IMAGES),
            r"one array for each purpose; found: images_train\.npy, x_train",
        ),
        (_arrays(a=IMAGES, b=LABELS, c=LABELS), r"must hold x_train and y_train, .*found: a\.npy, b\.npy, c\.npy"),
        (_arrays(a=LABELS, b=LABELS), r"must hold x_train and y_train, .*found: a\.npy, b\.npy"),
        (_arrays(x=IMAGES[:2], y=LABELS[:2]), "2 images cannot be split with test share 0.2: give more images"),
        (_table("mine.parquet", [_picture()], [7]), "must hold train-….parquet"),
        (_table("train.parquet", [_picture()], ["seven"]), "the column label must hold whole numbers"),
        (_table("train.parquet", [], []), "train.parquet has no rows"),
        (_picture_at("test/7/1.png"), "has a folder test but no folder train"),
        (_picture_at("train/7/more/1.png"), "train/7/more must be a picture file of at most 64,000,000 bytes"),
        (lambda folder: (folder / "train/7").mkdir(parents=True), "train holds no pictures: expected files such as"),
    ],
)
def test_a_folder_that_is_not_a_data_set_is_refused(write: Write, sentence: str, tmp_path: Path) -> None:
    write(tmp_path)
    refused_data(tmp_path, sentence)


def test_a_folder_with_two_training_files_is_refused(tmp_path: Path) -> None:
    for name in ("train_a.csv", "train_b.csv"):
        (tmp_path / name).write_text(ROW)
    refused_data(tmp_path, r"at most one test\.csv, not train_a\.csv, train_b\.csv; name one with --data")


def test_lines_of_other_lengths_than_the_header_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(HEADER + ROW[2:] * 2)
    refused_data(tmp_path / "train.csv", r"train\.csv, line 2: 784 columns, expected 785")


@pytest.mark.parametrize("damage", ["no gzip", "cut short", "changed inside"])
def test_a_damaged_gzip_file_is_refused(damage: str, tmp_path: Path) -> None:
    packed = gzip.compress((ROW * 200).encode())
    damaged = {"no gzip": ROW.encode(), "cut short": packed[:-20], "changed inside": packed[:10] + b"\xff" * 40}
    (tmp_path / "train.csv.gz").write_bytes(damaged[damage])
    refused_data(tmp_path / "train.csv.gz", r"train\.csv\.gz is not a sound gzip file")


def test_many_empty_lines_between_images_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(ROW + "\n" * 12_000 + ROW)
    assert len(csv_files.read_file(tmp_path / "train.csv").train.labels) == 2


def _three_lines(folder: Path) -> None:
    (folder / "train.csv").write_text(ROW * 3)


def _three_pictures(folder: Path) -> None:
    for label in (1, 2, 3):
        _picture_at(f"{label}/1.png")(folder)


@pytest.mark.parametrize(
    ("reader", "write", "sentence"),
    [
        (csv_files, _three_lines, "has more than 2 lines"),
        (parquet_files, _table("train.parquet", [_picture()] * 3, [1, 2, 3]), "has more than 2 rows"),
        (pictures, _three_pictures, "has more than 2 pictures"),
    ],
)
def test_more_images_than_the_limit_are_refused(
    reader: object, write: Write, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_IMAGES", 2)
    write(tmp_path)
    refused_data(tmp_path, sentence)


def test_a_folder_named_by_a_digit_is_the_label_of_that_number(tmp_path: Path) -> None:
    for name in ("3/1.png", "b/1.png"):
        _picture_at(name)(tmp_path)
    read = data.read(tmp_path, Reading(labels=tuple("abcdefghij"), test_share=0.5))
    assert sorted([*read.train.labels, *read.test.labels]) == [1, 3]


def test_data_that_make_a_bad_model_are_warned_of() -> None:
    images = np.zeros((1_000, 28, 28), np.uint8)
    images[:300] = 255
    train = LabelledImages(images, (np.arange(1_000) % 10).astype(np.uint8))
    test = LabelledImages(images[:9], np.arange(9, dtype=np.uint8))
    assert checks.warnings(train, test, labels=DIGITS, inverted=False) == [
        "30% of the images have light edges, the others dark ones; clients send only dark edges",
        "label 9: no test images, so the model's accuracy on them is unknown",
    ]
