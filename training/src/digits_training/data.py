"""Data sets of 28 × 28 images with labels 0 to 9: read, verified, split by index.

The IDX format is described at https://yann.lecun.org/exdb/mnist/: a magic number (two zero bytes, the element type,
the number of dimensions), the dimensions as big-endian 32-bit integers, then the elements, row-major.
"""

import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import DataFile
from digits_training.errors import DataError

MNIST = Path(__file__).parent / "mnist"
SIDE = 28  # pixels
LABELS = 10
MAX_IMAGES = 2_000_000  # per file; 1.6 GB. A header that claims more is taken for damage.
_UINT8 = 0x08  # IDX element type


@dataclass(frozen=True)
class LabelledImages:
    """N images, uint8[N, 28, 28], 0 background to 255 ink, and their labels, uint8[N], 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "LabelledImages":
        return LabelledImages(self.images[indices], self.labels[indices])

    def label_counts(self) -> list[int]:
        """Ten counts, in the order of the labels."""
        return [int(count) for count in np.bincount(self.labels, minlength=LABELS)]


@dataclass(frozen=True)
class DataSet:
    """Training and test images, and the files they were read from, in the order of their names."""

    train: LabelledImages
    test: LabelledImages
    files: tuple[DataFile, ...]


def read(path: Path | None, *, transpose: bool = False) -> DataSet:
    """The data set at `path`, or MNIST as it ships with the package.

    A folder holds four IDX files, gzip-compressed or not: the names contain `train` or else `t10k` or `test`, and
    `images` or `labels`. A `SHA256SUMS` beside them is verified. An .npz file holds the arrays x_train, y_train,
    x_test and y_test. `transpose` swaps rows and columns of every image. Raises DataError.
    """
    path = path or MNIST
    dataset = _read_npz(path) if path.suffix == ".npz" and path.is_file() else _read_folder(path)
    if not transpose:
        return dataset
    train, test = (
        LabelledImages(np.ascontiguousarray(part.images.swapaxes(1, 2)), part.labels)
        for part in (dataset.train, dataset.test)
    )
    return DataSet(train, test, dataset.files)


def is_mnist(files: Iterable[DataFile]) -> bool:
    """Whether these are the files of MNIST as it ships with the package."""
    return {file.name: file.sha256 for file in files} == _checksums(MNIST)


def split(labelled: LabelledImages, validation_share: float, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Training and validation images: disjoint, by one permutation of the indices that depends on `seed` alone.

    The split is made once, before anything is shuffled, so no image is ever on both sides. With a share of 0 all images
    are training images.
    """
    order = np.random.default_rng([seed, len(labelled)]).permutation(len(labelled))
    boundary = len(labelled) - round(validation_share * len(labelled))
    if boundary <= 0 or (validation_share and boundary == len(labelled)):
        raise DataError(f"{len(labelled)} training images cannot be split with validation share {validation_share:g}")
    return labelled.take(np.sort(order[:boundary])), labelled.take(np.sort(order[boundary:]))


def _read_folder(directory: Path) -> DataSet:
    if not directory.is_dir():
        raise DataError(f"{directory} is neither a folder with a data set nor an .npz file")
    checksums = _checksums(directory)
    files: list[DataFile] = []

    def content(path: Path) -> bytes:
        stored = path.read_bytes()
        file = _data_file(path.name, stored)
        if checksums.get(path.name, file.sha256) != file.sha256:
            raise DataError(f"{path.name} is damaged: its SHA-256 differs from the one in SHA256SUMS")
        files.append(file)
        return stored

    def labelled(*words: str) -> LabelledImages:
        images_path, labels_path = (_only(directory, words, what) for what in ("images", "labels"))
        images = _parse_idx(images_path.name, content(images_path), (SIDE, SIDE))
        labels = _parse_idx(labels_path.name, content(labels_path), ())
        return _checked(images, labels, labels_path.name)

    train, test = labelled("train"), labelled("t10k", "test")
    return DataSet(train, test, tuple(sorted(files, key=lambda file: file.name)))


def _read_npz(path: Path) -> DataSet:
    stored = path.read_bytes()
    parts: list[LabelledImages] = []
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            if any(member.file_size > MAX_IMAGES * SIDE * SIDE for member in archive.infolist()):
                raise DataError(f"{path.name} claims more than {MAX_IMAGES:,} images")
        with np.load(io.BytesIO(stored), allow_pickle=False) as arrays:
            for part in ("train", "test"):
                images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
                if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE) or not len(images):
                    shape = f"{images.dtype}{list(images.shape)}"
                    raise DataError(f"{path.name}: x_{part} must be uint8[N, {SIDE}, {SIDE}], not {shape}")
                if labels.dtype.kind not in "iu" or labels.ndim != 1:
                    shape = f"{labels.dtype}{list(labels.shape)}"
                    raise DataError(f"{path.name}: y_{part} must be integers[N], not {shape}")
                parts.append(_checked(images, labels, f"y_{part} of {path.name}"))
    except KeyError as error:
        raise DataError(f"{path.name} must hold x_train, y_train, x_test and y_test: {error.args[0]}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path.name} is not a sound .npz file of plain arrays") from error
    train, test = parts
    return DataSet(train, test, (_data_file(path.name, stored),))


def _data_file(name: str, stored: bytes) -> DataFile:
    return DataFile(name=name, sha256=hashlib.sha256(stored).hexdigest(), size_bytes=len(stored))


def _only(directory: Path, words: tuple[str, ...], what: str) -> Path:
    found = sorted(
        path
        for path in directory.iterdir()
        if what in path.name and "idx" in path.name and any(word in path.name for word in words)
    )
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{directory} must hold one IDX file of {words[0]} {what}; found: {names}")
    return found[0]


def _parse_idx(name: str, stored: bytes, element_shape: tuple[int, ...]) -> NDArray[np.uint8]:
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


def _checked(images: NDArray[np.uint8], labels: NDArray[np.integer], name: str) -> LabelledImages:
    if len(images) != len(labels):
        raise DataError(f"{name} has {len(labels):,} labels for {len(images):,} images")
    wrong = labels[(labels < 0) | (labels >= LABELS)]
    if len(wrong):
        raise DataError(f"{name} has label {wrong[0]}; labels are 0 to {LABELS - 1}")
    return LabelledImages(images, labels.astype(np.uint8))


def _checksums(directory: Path) -> dict[str, str]:
    path = directory / "SHA256SUMS"
    if not path.is_file():
        return {}

    def entries() -> Iterator[tuple[str, str]]:
        for line in path.read_text().splitlines():
            checksum, _, name = line.partition("  ")
            yield name, checksum

    return dict(entries())
