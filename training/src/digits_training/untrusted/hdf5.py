"""HDF5 files as plain data: no links to other files, and no arrays much larger than their stored bytes."""

import io
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from digits_training.errors import ModelFileError
from digits_training.untrusted.limits import (
    MAX_BYTES,
    MAX_CONFIG_BYTES,
    MAX_EXPANSION,
    MAX_GROUP_DEPTH,
    MAX_OBJECTS,
    require,
)

_READ = {"model_config", "keras_version"}
_GZIP = 1
_FILTERS = {
    _GZIP,
    2,
    3,
    32_000,
}  # HDF5's codes: gzip, shuffle, fletcher32, lzf. With szip, 500 bytes can unpack to 4 GB


def opened(content: bytes) -> Any:
    """The file, for reading. Raises ModelFileError."""
    import h5py

    try:
        return h5py.File(io.BytesIO(content), "r")
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        raise ModelFileError("refused: not a valid HDF5 file") from error


def check(file: Any) -> None:
    """Raises ModelFileError unless the file has only plain groups and datasets of limited size, linked within it."""
    import h5py

    objects = total = 0
    waiting = [(file, 0)]
    try:
        while waiting:
            group, depth = waiting.pop()
            objects += 1
            require(objects <= MAX_OBJECTS and depth <= MAX_GROUP_DEPTH, "the HDF5 file has too many objects")
            total += _attribute_bytes(group)
            if isinstance(group, h5py.Dataset):
                total += _dataset_bytes(group)
                require(total <= MAX_BYTES, f"HDF5 shape bomb: its arrays take {total:,} bytes")
                continue
            for name in group:
                link = group.get(name, getlink=True)
                require(isinstance(link, h5py.HardLink), "the HDF5 file links to another place or file")
                waiting.append((group[name], depth + 1))
    except (OSError, OverflowError, RuntimeError, ValueError, KeyError, TypeError, zlib.error) as error:
        raise ModelFileError("refused: the HDF5 file is damaged") from error


def _dataset_bytes(dataset: Any) -> int:
    plain = not dataset.is_virtual and not dataset.external and dataset.dtype.kind in "fiubS"
    require(plain, f"the HDF5 dataset {dataset.name} is not a plain array")
    declared, stored = int(dataset.size) * int(dataset.dtype.itemsize), int(dataset.id.get_storage_size())
    bomb = f"{dataset.name} declares {declared:,} bytes and stores {stored:,}"
    require(declared <= MAX_EXPANSION * max(stored, 1024), f"HDF5 shape bomb: {bomb}")
    return max(declared, _unpacked_bytes(dataset, declared) if dataset.chunks else 0)


def _unpacked_bytes(dataset: Any, declared: int) -> int:
    """The size of a dataset's chunks. No chunk may unpack to more than its shape says."""
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index) for index in range(properties.get_nfilters())]
    unknown = [code for code, *_ in filters if code not in _FILTERS]
    require(not unknown, f"{dataset.name} is stored with the HDF5 filter {unknown[:1]}; expected gzip or lzf")
    codes = [code for code, *_ in filters]
    require(len(set(codes)) == len(codes), f"{dataset.name} is stored with the same HDF5 filter twice")
    size = math.prod(dataset.chunks) * int(dataset.dtype.itemsize)
    bomb = f"HDF5 chunk bomb: {dataset.name} declares {declared:,} bytes, and one of its chunks unpacks to more"
    require(size <= max(declared, MAX_CONFIG_BYTES), bomb)
    count = int(dataset.id.get_num_chunks())
    require(count * size <= MAX_BYTES, f"HDF5 shape bomb: the chunks of {dataset.name} take {count * size:,} bytes")
    for index in range(count):
        chunk = dataset.id.get_chunk_info(index)
        require(chunk.size <= size + size // 100 + 1024, bomb)
        if _GZIP in codes and not chunk.filter_mask & 1 << codes.index(_GZIP):
            _, packed = dataset.id.read_direct_chunk(chunk.chunk_offset)
            unpacked = zlib.decompressobj().decompress(packed, size + 1025)
            require(len(unpacked) <= size + 1024, bomb)
    return int(count * size)


def _attribute_bytes(node: Any) -> int:
    """The size of a node's attributes, computed only from their headers."""
    total = 0
    for name in node.attrs:
        attribute = node.attrs.get_id(name)
        total += math.prod(attribute.shape) * int(attribute.dtype.itemsize)
        require(total <= 8 * MAX_CONFIG_BYTES, f"HDF5 shape bomb: the attribute {name!r}")
        require(attribute.dtype.kind in "fiubSO", f"the HDF5 attribute {name!r} is not plain")
        # Many strings can share one stored string. This process reads two attributes, so each must be a single string.
        require(name not in _READ or attribute.shape == (), f"{name} is not one string")
    return total


def check_strings(path: Path) -> None:
    """Reads the attributes of an .h5 file. Its strings can share one stored string: call this in a process with limits.

    Raises ModelFileError if the attributes are too large.
    """
    import h5py

    total = 0

    def add(_name: str, node: Any) -> None:
        nonlocal total
        for value in node.attrs.values():
            strings: Any = value.ravel() if isinstance(value, np.ndarray) and value.dtype.kind == "O" else []
            total += sum(len(string) for string in strings)
            require(total <= 8 * MAX_CONFIG_BYTES, f"HDF5 string bomb: attributes take {total:,} characters")

    try:
        with h5py.File(path, "r") as file:
            add("/", file)
            file.visititems(add)
    except (OSError, OverflowError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError("refused: the HDF5 file's attributes are damaged or too large") from error
