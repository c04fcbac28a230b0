"""Parquet files as data hubs publish MNIST: a column `image` of picture files, and a column `label`.

Needs the extra `parquet`. The pictures are read by the server's rules, as those in folders are.
"""

from pathlib import Path
from typing import Any

import numpy as np

from digits_training.data.formats import pictures
from digits_training.data.labelled import StoredData, StoredPart, data_file
from digits_training.data.limits import MAX_IMAGES
from digits_training.errors import DataError, SettingsError

SUFFIX = ".parquet"
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels")


def read_file(path: Path) -> StoredData:
    """One Parquet file, all of it training images. Raises DataError, SettingsError."""
    return StoredData(_part([path]), None, (data_file(path.name, path.read_bytes()),))


def read_folder(directory: Path) -> StoredData:
    """The Parquet files of a folder, whose names begin with `train` or `test`. Raises DataError, SettingsError."""
    paths = sorted(path for path in directory.iterdir() if path.suffix == SUFFIX)
    train, test = ([path for path in paths if path.name.startswith(word)] for word in ("train", "test"))
    if not train:
        raise DataError(f"{directory} must hold train-….parquet, and test-….parquet if there are test images")
    used = [*train, *test]
    notes = tuple(f"not used: {path.name}" for path in paths if path not in used)
    files = tuple(data_file(path.name, path.read_bytes()) for path in used)
    return StoredData(_part(train), _part(test) if test else None, files, notes)


def _part(paths: list[Path]) -> StoredPart:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise SettingsError(
            "reading Parquet files needs one more package: install digits-training with its extra 'parquet'"
        ) from error
    name = ", ".join(path.name for path in paths)
    images: list[Any] = []
    labels: list[Any] = []
    to_pixels = pictures.server_rules()
    for path in paths:
        try:
            with parquet.ParquetFile(path) as file:
                if file.metadata.num_rows + len(images) > MAX_IMAGES:
                    raise DataError(f"{path.name} has more than {MAX_IMAGES:,} rows")
                columns = [_column(file.schema_arrow.names, names, path) for names in (IMAGE_COLUMNS, LABEL_COLUMNS)]
                for batch in file.iter_batches(columns=columns):
                    cells, numbers = (batch.column(column).to_pylist() for column in columns)
                    contents: list[Any] = [cell.get("bytes") if isinstance(cell, dict) else cell for cell in cells]
                    if not all(isinstance(content, bytes) for content in contents):
                        raise DataError(f"{path.name}: the column {columns[0]} must hold picture files as bytes")
                    if not all(isinstance(number, int) for number in numbers):
                        raise DataError(f"{path.name}: the column {columns[1]} must hold whole numbers")
                    images += [
                        to_pixels(content, f"row {len(images) + index + 1:,} of {name}")
                        for index, content in enumerate(contents)
                    ]
                    labels += numbers
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path.name} is not a sound Parquet file") from error
    if not images:
        raise DataError(f"{name} has no rows")
    return StoredPart(np.stack(images), np.array(labels), f"the images of {name}", f"the labels of {name}")


def _column(found: list[str], names: tuple[str, ...], path: Path) -> str:
    column = next((name for name in names if name in found), None)
    if column is None:
        raise DataError(f"{path.name} must have a column {names[0]}; found: {', '.join(found)}")
    return column
