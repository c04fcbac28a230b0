"""Arrays that NumPy saved: an .npz file, or a folder of .npy files, under the names that people give them."""

import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits_training.data.labelled import StoredData, StoredPart, data_file
from digits_training.data.limits import MAX_ARRAY_BYTES
from digits_training.errors import DataError

IMAGES = {"x", "images", "image", "imgs", "img", "data", "pixels", "features"}
LABELS = {"y", "labels", "label", "target", "targets", "classes", "class"}
TRAIN = {"train", "training"}
TEST = {"test", "testing", "t10k"}
VALIDATION = {"val", "valid", "validation"}

Arrays = dict[str, NDArray[Any]]
SAVE = "np.savez(FILE, x_train=images, y_train=labels)"  # the line that makes an .npz file that can be read


def read_npz(path: Path) -> StoredData:
    """The arrays of an .npz file, found by their names. Raises DataError."""
    stored = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            if any(member.file_size > MAX_ARRAY_BYTES for member in archive.infolist()):
                raise DataError(
                    f"{path.name} has an array of more than {MAX_ARRAY_BYTES:,} bytes; "
                    "pixels take one byte each after: images = images.astype('uint8')"
                )
        with np.load(io.BytesIO(stored), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path.name} is not a sound .npz file of plain arrays") from error
    train, test, notes = _parts(arrays, path.name)
    return StoredData(train, test, (data_file(path.name, stored),), notes)


def read_folder(directory: Path) -> StoredData:
    """The .npy files of a folder, found by their names. Raises DataError."""
    arrays: Arrays = {}
    paths = sorted(path for path in directory.iterdir() if path.suffix == ".npy")
    for path in paths:
        try:
            # Mapped, so that a header which claims more than the file holds takes no memory.
            arrays[path.name] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(f"{path.name} is not a sound .npy file of a plain array") from error
    train, test, notes = _parts(arrays, str(directory))
    return StoredData(train, test, tuple(data_file(path.name, path.read_bytes()) for path in paths), notes)


def _parts(arrays: Arrays, where: str) -> tuple[StoredPart, StoredPart | None, tuple[str, ...]]:
    left = dict(arrays)
    train = _part(left, TRAIN, where)
    test = _part(left, TEST, where)
    if train is None:
        train = _part(left, set(), where) or _unnamed(left, where)
    if train is None:
        names = ", ".join(sorted(arrays)) or "no array"
        raise DataError(
            f"{where} must hold x_train and y_train, and x_test and y_test if there are test images; found: {names}. "
            f"Save it again with {SAVE}"
        )
    notes = (f"not used: {', '.join(sorted(left))} of {where}",) if left else ()
    return train, test, notes


def _part(arrays: Arrays, words: set[str], where: str) -> StoredPart | None:
    """Takes the images and labels whose names contain one of `words`; with no words, those that name no part."""

    def only(what: set[str]) -> str | None:
        names = [name for name in arrays if _tokens(name) & what and _of_part(name, words)]
        if len(names) > 1:
            raise DataError(f"{where} must hold one array for each purpose; found: {', '.join(sorted(names))}")
        return names[0] if names else None

    images, labels = only(IMAGES), only(LABELS)
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        missing = "images" if images is None else "labels"
        raise DataError(f"the {missing} that belong to {images or labels} are missing from {where}")
    return StoredPart(arrays.pop(images), arrays.pop(labels), f"{images} of {where}", f"{labels} of {where}")


def _of_part(name: str, words: set[str]) -> bool:
    tokens = _tokens(name)
    return bool(tokens & words) if words else not tokens & (TRAIN | TEST | VALIDATION)


def _tokens(name: str) -> set[str]:
    """The words of a name: x and train of `x_train`, of `X-train.npy` and of `trainX`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix(".npy"))
    return set(re.findall(r"[a-z]+[0-9]*k?", spaced.lower()))


def _unnamed(arrays: Arrays, where: str) -> StoredPart | None:
    """Two arrays without telling names, such as arr_0 and arr_1: the one of more values is the images."""
    if len(arrays) != 2:
        return None
    labels, images = sorted(arrays, key=lambda name: arrays[name].size)
    if arrays[labels].size == arrays[images].size:
        return None
    return StoredPart(arrays.pop(images), arrays.pop(labels), f"{images} of {where}", f"{labels} of {where}")
