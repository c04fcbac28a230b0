"""Folders of picture files, one folder for each label, read by the same rules as the server reads pictures.

Only this file of the training job imports the server, so that training and serving see the same pixels. Otherwise the
packages are separate: the extra `pictures` installs the server's package too.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import DataFile
from digits_training.data.labelled import SIDE, StoredData, StoredPart
from digits_training.data.limits import MAX_IMAGES, MAX_NAMED, MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS
from digits_training.errors import DataError, SettingsError

TRAIN = ("train", "training")
TEST = ("test", "testing")
NOT_PICTURES = ("Thumbs.db", "desktop.ini")  # files that Windows adds to folders of pictures; other systems hide theirs


def read(directory: Path, labels: tuple[str, ...]) -> StoredData:
    """`train/7/12.png` and, if there are test images, `test/7/3.png`; or `7/12.png` without test images.

    The folder of a label is named by its digit or by its name in `labels`. Raises DataError, SettingsError.
    """
    to_pixels = server_rules()
    folders = {path.name: path for path in _visible(directory) if path.is_dir()}
    train = next((folders[name] for name in TRAIN if name in folders), None)
    test = next((folders[name] for name in TEST if name in folders), None)
    if test and not train:
        raise DataError(f"{directory} has a folder {test.name} but no folder train")
    known = (train or directory, *([test] if test else []))
    left_out = sorted(set(folders) - {path.name for path in known}) if train else []
    files: list[tuple[str, bytes]] = []
    parts = [_part(part, directory, labels, to_pixels, files) for part in known]
    notes = (f"not used: {', '.join(left_out)} of {directory}",) if left_out else ()
    return StoredData(parts[0], parts[1] if test else None, (_data_file(directory, files),), notes)


def server_rules() -> Callable[[bytes, str], NDArray[np.uint8]]:
    """The server's conversion of one picture file: its bytes and its name → uint8[28, 28]. Raises DataError."""
    try:
        from digits_server.errors import CallerError
        from digits_server.pictures.images import from_file
    except ImportError as error:
        raise SettingsError(
            "reading picture files needs the server's package: install digits-training with its extra 'pictures'"
        ) from error

    def to_pixels(content: bytes, name: str) -> NDArray[np.uint8]:
        try:
            return from_file(content, name, MAX_PICTURE_PIXELS)
        except CallerError as error:
            raise DataError(error.message) from error

    return to_pixels


def _part(
    part: Path,
    directory: Path,
    labels: tuple[str, ...],
    to_pixels: Callable[[bytes, str], NDArray[np.uint8]],
    files: list[tuple[str, bytes]],
) -> StoredPart:
    """Every picture below `part`. Appends the path and the SHA-256 of each file to `files`."""
    images: list[NDArray[np.uint8]] = []
    numbers: list[int] = []
    refused: list[str] = []
    for folder in _visible(part):
        if not folder.is_dir():
            raise DataError(
                f"{folder.relative_to(directory)} is beside the folders of labels: move it into one of them"
            )
        label = _label(folder, labels)
        for path in _visible(folder):
            name = path.relative_to(directory).as_posix()
            if path.is_dir() or path.stat().st_size > MAX_PICTURE_BYTES:
                raise DataError(f"{name} must be a picture file of at most {MAX_PICTURE_BYTES:,} bytes")
            content = path.read_bytes()
            files.append((name, hashlib.sha256(content).digest() + len(content).to_bytes(8, "big")))
            try:
                images.append(to_pixels(content, name))
                numbers.append(label)
            except DataError as error:
                refused.append(str(error))
            if len(images) > MAX_IMAGES:
                raise DataError(f"{directory} has more than {MAX_IMAGES:,} pictures")
    if refused:
        shown = "; ".join(refused[:MAX_NAMED]) + (" …" if len(refused) > MAX_NAMED else "")
        raise DataError(f"{len(refused):,} pictures cannot be read; repair or remove them: {shown}")
    if not images:
        raise DataError(f"{part} holds no pictures: expected files such as 7/12.png")
    stacked = np.stack(images).reshape(-1, SIDE, SIDE)
    return StoredPart(stacked, np.array(numbers), f"the pictures of {part}", f"the folders of {part}")


def _label(folder: Path, labels: tuple[str, ...]) -> int:
    """The label of a folder: the index of its name in `labels`, or else its name as a digit."""
    if folder.name in labels:
        return labels.index(folder.name)
    if folder.name.isascii() and folder.name.isdigit() and int(folder.name) < len(labels):
        return int(folder.name)
    raise DataError(
        f"the folder {folder} is not named after a label: expected one of {', '.join(labels)}; "
        "--labels gives other names"
    )


def _visible(directory: Path) -> Iterable[Path]:
    """The content of a folder, in the order of the names, without hidden files."""
    return sorted(
        path for path in directory.iterdir() if not path.name.startswith(".") and path.name not in NOT_PICTURES
    )


def _data_file(directory: Path, files: list[tuple[str, bytes]]) -> DataFile:
    """One entry of the manifest for the whole folder: a checksum over the paths, sizes and checksums of its files."""
    whole = hashlib.sha256()
    for name, identity in sorted(files):
        whole.update(hashlib.sha256(name.encode(errors="surrogateescape")).digest() + identity)
    size = sum(int.from_bytes(identity[-8:], "big") for _, identity in files)
    return DataFile(name=directory.resolve().name, sha256=whole.hexdigest(), size_bytes=size)
