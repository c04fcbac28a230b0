"""IDX files, the format MNIST is published in: four in a folder, gzip-compressed or not.

The IDX format is described at https://yann.lecun.org/exdb/mnist/: a magic number (two zero bytes, the element type,
the number of dimensions), the dimensions as big-endian 32-bit integers, then the elements, row-major.
"""

import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import DataFile
from digits_training.data.labelled import SIDE, StoredData, StoredPart, data_file
from digits_training.data.limits import MAX_IMAGES
from digits_training.errors import DataError

_UINT8 = 0x08  # IDX element type


def read(directory: Path) -> StoredData:
    """The IDX files of a folder. Their names contain `train` or else `t10k` or `test`, and `images` or `labels`.

    A `SHA256SUMS` beside them is verified. Without both test files there are no test images. Raises DataError.
    """
    sums = checksums(directory)
    files: list[DataFile] = []

    def content(path: Path) -> bytes:
        stored = path.read_bytes()
        file = data_file(path.name, stored)
        if sums.get(path.name, file.sha256) != file.sha256:
            raise DataError(f"{path.name} is damaged: its SHA-256 differs from the one in SHA256SUMS")
        files.append(file)
        return stored

    def part(*words: str) -> StoredPart:
        images_path, labels_path = (_only(directory, words, what) for what in ("images", "labels"))
        images = _parse(images_path.name, content(images_path), (SIDE, SIDE))
        labels = _parse(labels_path.name, content(labels_path), ())
        return StoredPart(images, labels, images_path.name, labels_path.name)

    train = part("train")
    test_words = ("t10k", "test")
    test = part(*test_words) if any(_found(directory, test_words, what) for what in ("images", "labels")) else None
    return StoredData(train, test, tuple(sorted(files, key=lambda file: file.name)))


def checksums(directory: Path) -> dict[str, str]:
    """File names and their SHA-256 from `SHA256SUMS`; empty if there is no such file."""
    path = directory / "SHA256SUMS"
    if not path.is_file():
        return {}
    lines = (line.partition("  ") for line in path.read_text().splitlines())
    return {name: checksum for checksum, _, name in lines}


def _found(directory: Path, words: tuple[str, ...], what: str) -> list[Path]:
    return sorted(
        path
        for path in directory.iterdir()
        if what in path.name and "idx" in path.name and any(word in path.name for word in words)
    )


def _only(directory: Path, words: tuple[str, ...], what: str) -> Path:
    found = _found(directory, words, what)
    if not found:
        raise DataError(f"the IDX file of {words[0]} {what} is missing from {directory}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{directory} must hold one IDX file of {words[0]} {what}; found: {names}")
    return found[0]


def _parse(name: str, stored: bytes, element_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """uint8[N, *element_shape] of one IDX file; reads no further than its header says it may."""
    dimensions = 1 + len(element_shape)
    header_size = 4 + 4 * dimensions
    header = _leading_bytes(name, stored, header_size)
    magic = bytes([0, 0, _UINT8, dimensions])
    if header[:4] != magic:
        raise DataError(f"{name} is not an IDX file of this kind: it begins with {header[:4].hex()}, not {magic.hex()}")
    count, *shape = np.frombuffer(header, ">u4", offset=4).tolist()
    if tuple(shape) != element_shape:
        raise DataError(f"{name} holds images of {' × '.join(map(str, shape))} pixels, not {SIDE} × {SIDE}")
    if not 0 < count <= MAX_IMAGES:
        raise DataError(f"{name} claims {count:,} elements; from 1 to {MAX_IMAGES:,} are taken")
    size = header_size + count * math.prod(element_shape)
    content = _leading_bytes(name, stored, size + 1)
    if len(content) != size:
        raise DataError(f"{name} is {'truncated' if len(content) < size else 'longer than its header says'}")
    return np.frombuffer(content, np.uint8, offset=header_size).reshape(count, *element_shape)


def _leading_bytes(name: str, stored: bytes, size: int) -> bytes:
    """The first `size` bytes of the content, or all of them if there are fewer."""
    if not stored.startswith(b"\x1f\x8b"):
        return stored[:size]
    try:
        return zlib.decompressobj(wbits=31).decompress(stored, size)
    except zlib.error as error:
        raise DataError(f"{name} is not a sound gzip file") from error
