"""Chunks of an HDF5 file at their exact bounds: none may unpack to more than the shape of its array."""

import io
import zlib

import h5py
import numpy as np
import pytest

from digits_training.errors import ModelFileError
from digits_training.untrusted import hdf5

SIDE = 16
CHUNK_BYTES = 4 * SIDE * SIDE
SLACK = 1024
"""Bytes that a chunk may unpack to beyond its size."""


def checked(data: bytes, *, packed: bool = True) -> None:
    """Checks a file with one array in one chunk, which holds `data`: with gzip, or as it is."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        made = file.create_dataset("kernel", (SIDE, SIDE), "<f4", chunks=(SIDE, SIDE), compression="gzip")
        made.id.write_direct_chunk((0, 0), zlib.compress(data) if packed else data, filter_mask=0 if packed else 1)
    with hdf5.opened(content.getvalue()) as file:
        hdf5.check(file)


def noise(size: int) -> bytes:
    return np.random.default_rng(1).bytes(size)


@pytest.mark.parametrize("size", [CHUNK_BYTES, CHUNK_BYTES + SLACK])
def test_a_packed_chunk_within_its_bound_is_taken(size: int) -> None:
    checked(b"\1" * size)


@pytest.mark.parametrize("size", [CHUNK_BYTES + SLACK + 1, 100 * CHUNK_BYTES])
def test_a_packed_chunk_beyond_its_bound_is_refused(size: int) -> None:
    with pytest.raises(ModelFileError, match=r"HDF5 chunk bomb: /kernel declares 1,024 bytes, and one of its chunks"):
        checked(bytes(size))


def test_a_chunk_that_is_stored_as_it_is_is_not_unpacked() -> None:
    checked(noise(CHUNK_BYTES), packed=False)


def test_a_stored_chunk_larger_than_its_array_is_refused() -> None:
    most = CHUNK_BYTES + CHUNK_BYTES // 100 + SLACK
    checked(noise(most), packed=False)
    with pytest.raises(ModelFileError, match="HDF5 chunk bomb: /kernel declares 1,024 bytes"):
        checked(noise(most + 1), packed=False)


def test_a_file_that_is_not_hdf5_is_refused_in_words() -> None:
    with pytest.raises(ModelFileError) as caught:
        hdf5.opened(b"not HDF5")
    assert str(caught.value) == "refused: not a valid HDF5 file"


def test_a_link_to_another_file_is_refused_in_words() -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/kernel")
    with hdf5.opened(content.getvalue()) as file, pytest.raises(ModelFileError) as caught:
        hdf5.check(file)
    assert str(caught.value) == "refused: the HDF5 file links to another place or file"
