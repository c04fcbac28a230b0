"""Data as people have them: NumPy arrays in every usual form, CSV files, and what is not read names its conversion."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from digits_training import data
from digits_training.data import DataSet, LabelledImages, Reading
from digits_training.errors import DataError

COUNT = 60


@pytest.fixture
def few(small: DataSet) -> LabelledImages:
    return small.train.take(np.arange(COUNT))


def _npz(path: Path, few: LabelledImages, **arrays: NDArray[Any]) -> Path:
    np.savez(
        path, **({"x_train": few.images, "y_train": few.labels, "x_test": few.images, "y_test": few.labels} | arrays)
    )
    return path


def _csv(path: Path, few: LabelledImages, *, header: bool = True, labels: bool = True) -> Path:
    columns = (["label"] if labels else []) + [f"pixel{index}" for index in range(784)]
    pixels = few.images.reshape(len(few), -1)
    rows = np.column_stack([few.labels, pixels]) if labels else pixels
    text = (",".join(columns) + "\n" if header else "") + "\n".join(",".join(map(str, row)) for row in rows.tolist())
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("shape", [(-1, 784), (-1, 28, 28, 1), (-1, 1, 28, 28)])
@pytest.mark.parametrize("form", ["uint8", "int64", "float32 to 255", "float64 to 1"])
def test_images_of_every_usual_shape_and_type_are_the_same_images(
    shape: tuple[int, ...], form: str, few: LabelledImages, tmp_path: Path
) -> None:
    kind, _, highest = form.partition(" to ")
    images = (few.images / (255 if highest == "1" else 1)).astype(kind).reshape(shape)
    read = data.read(_npz(tmp_path / "set.npz", few, x_train=images, x_test=images))
    assert read.train.images.dtype == np.uint8
    assert np.array_equal(read.train.images, few.images)
    assert np.array_equal(read.test.images, few.images)


@pytest.mark.parametrize("form", ["int64", "float32", "U1", "one-hot", "column"])
def test_labels_of_every_usual_type_are_the_same_labels(form: str, few: LabelledImages, tmp_path: Path) -> None:
    forms: dict[str, NDArray[Any]] = {"one-hot": np.eye(10)[few.labels], "column": few.labels[:, None]}
    labels = forms[form] if form in forms else few.labels.astype(form)
    assert np.array_equal(data.read(_npz(tmp_path / "set.npz", few, y_train=labels)).train.labels, few.labels)


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("trainX", "trainY", "testX", "testY"),
        ("training_data", "training_targets", "testing_data", "testing_targets"),
    ],
)
def test_arrays_are_found_by_the_names_people_give_them(
    names: tuple[str, ...], few: LabelledImages, tmp_path: Path
) -> None:
    arrays = dict(zip(names, (few.images, few.labels, few.images[:9], few.labels[:9]), strict=True))
    np.savez(tmp_path / "set.npz", **arrays)  # type: ignore[arg-type] # its stubs take a flag for an array
    (tmp_path / "folder").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / f"folder/{name}.npy", array)
    for path in (tmp_path / "set.npz", tmp_path / "folder"):
        read = data.read(path)
        assert (len(read.train), len(read.test), read.test_share) == (COUNT, 9, 0)
        assert np.array_equal(read.test.images, few.images[:9])


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("data", "target"), ("arr_0", "arr_1")])
def test_data_without_test_images_are_split_by_the_seed(
    names: tuple[str, str], few: LabelledImages, tmp_path: Path
) -> None:
    np.savez(tmp_path / "set.npz", **{names[0]: few.images, names[1]: few.labels})  # type: ignore[arg-type] # as above
    first, again, other = (data.read(tmp_path / "set.npz", Reading(test_share=0.25, seed=seed)) for seed in (5, 5, 6))
    assert (len(first.train), len(first.test), first.test_share) == (45, 15, 0.25)
    assert np.array_equal(first.test.images, again.test.images)
    assert not np.array_equal(first.test.images, other.test.images)
    together = np.concatenate([first.train.images, first.test.images])
    assert {image.tobytes() for image in together} == {image.tobytes() for image in few.images}


def test_a_test_share_for_data_with_test_images_is_refused(few: LabelledImages, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--test-share is for data without test images"):
        data.read(_npz(tmp_path / "set.npz", few), Reading(test_share=0.25))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"x_train": np.full((COUNT, 28, 28), -1.0)}, r"pixels from -1 to -1; .*: images = \(images \+ 1\) \* 127\.5"),
        ({"x_train": np.full((COUNT, 28, 28), 65535, np.uint16)}, "pixels up to 65535; .*: images = images / 257"),
        ({"x_train": np.full((COUNT, 28, 28), np.nan)}, "pixels that are NaN or infinite"),
        ({"x_train": np.zeros((COUNT, 28, 28, 3))}, r"to make colour images grey: images = images\.mean\(axis=3\)"),
        ({"x_train": np.zeros((28, 28, COUNT))}, r"to put the images first: images = images\.transpose\(2, 0, 1\)"),
        ({"x_train": np.zeros((784, COUNT))}, r"to put the images first: images = images\.T"),
        (
            {"y_train": np.arange(COUNT) % 10 + 1},
            "these labels begin with 1, so convert them first: labels = labels - 1",
        ),
        ({"y_train": np.full(COUNT, "seven")}, "y_train of set.npz must be whole numbers from 0 to 9: invalid literal"),
        ({"y_train": np.full(COUNT, np.nan)}, "must be whole numbers from 0 to 9; nan is not"),
    ],
)
def test_arrays_that_could_mean_several_things_are_refused_with_the_line_that_converts_them(
    changed: dict[str, NDArray[Any]], sentence: str, few: LabelledImages, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=sentence):
        data.read(_npz(tmp_path / "set.npz", few, **changed))


def test_arrays_that_are_not_used_are_named(few: LabelledImages, tmp_path: Path) -> None:
    path = _npz(tmp_path / "set.npz", few, val_images=few.images, val_labels=few.labels)
    assert data.read(path).notes == ("not used: val_images, val_labels of set.npz",)


def test_an_npy_file_that_claims_more_than_it_holds_is_refused(few: LabelledImages, tmp_path: Path) -> None:
    np.save(tmp_path / "y_train.npy", few.labels)
    np.save(tmp_path / "x_train.npy", few.images)
    path = tmp_path / "x_train.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"x_train\.npy is not a sound \.npy file"):
        data.read(tmp_path)


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
@pytest.mark.parametrize("header", [True, False])
def test_a_csv_file_is_read(name: str, header: bool, few: LabelledImages, tmp_path: Path) -> None:
    read = data.read(_csv(tmp_path / name, few, header=header), Reading(test_share=0.1))
    assert (len(read.train), len(read.test)) == (54, 6)
    assert {image.tobytes() for image in read.train.images} < {image.tobytes() for image in few.images}
    assert [file.name for file in read.files] == [name]


def test_a_folder_as_kaggle_gives_it_is_read_without_its_test_file(few: LabelledImages, tmp_path: Path) -> None:
    _csv(tmp_path / "train.csv", few)
    _csv(tmp_path / "test.csv", few, labels=False)
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    read = data.read(tmp_path)
    assert read.test_share == 0.2
    assert read.notes == ("not used: sample_submission.csv", "not used: test.csv, which has no labels")


def test_a_test_file_with_labels_is_the_test_set(few: LabelledImages, tmp_path: Path) -> None:
    _csv(tmp_path / "mnist_train.csv", few, header=False)
    _csv(tmp_path / "mnist_test.csv", few.take(np.arange(7)), header=False)
    read = data.read(tmp_path)
    assert (len(read.train), len(read.test), read.test_share) == (COUNT, 7, 0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("label,pixel0\n1,2\n", "train.csv has 2 columns; expected 785: a label and 784 pixels"),
        (";".join(["0"] * 785), r"must separate its columns by commas: tr ';\\t' ',' < train\.csv > converted\.csv"),
        ("label," + ",".join(f"pixel{i}" for i in range(784)) + "\n", "train.csv has no images, only a header"),
        (",".join(["0"] * 785) + "\n" + ",".join(["0"] * 784) + ",x\n", "train.csv, lines 1 to 2: could not convert"),
        (",".join(["0"] * 785) + "\n0,0\n", "train.csv, lines 1 to 2: the number of columns changed from 785 to 2"),
        ("", "train.csv has 1 columns"),
        ("digit?," + ",".join(f"pixel{i}" for i in range(784)) + "\n", "must have one column named `label`"),
    ],
)
def test_a_csv_file_of_something_else_is_refused(content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(DataError, match=sentence):
        data.read(tmp_path / "train.csv")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mnist.mat", "convert it: .*scipy.io.loadmat"),
        ("mnist.pt", "convert it: .*torch.load"),
        ("archive.zip", "unpack it, and name the folder"),
        ("images.npy", "put images and labels as x_train.npy and y_train.npy into a folder"),
        ("train-images-idx3-ubyte.gz", "an IDX file is one of four: name the folder that holds them"),
        ("notes.txt", "expected a folder of four IDX files"),
    ],
)
def test_a_file_that_is_not_read_names_its_conversion(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"?")
    with pytest.raises(DataError, match=sentence):
        data.read(tmp_path / name)


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no data set: .*; found: no files"):
        data.read(tmp_path)


def test_inverting_swaps_paper_and_ink(few: LabelledImages, tmp_path: Path) -> None:
    path = _npz(tmp_path / "set.npz", few, x_train=255 - few.images, x_test=255 - few.images)
    assert np.array_equal(data.read(path, Reading(invert=True)).train.images, few.images)
