"""CSV files with one image per line, its label and 784 pixels, like those of Kaggle's Digit Recognizer."""

import gzip
import hashlib
import io
import zlib
from itertools import islice
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from digits.v1.manifest_pb2 import DataFile
from digits_training.data.labelled import SIDE, StoredData, StoredPart
from digits_training.data.limits import MAX_CSV_LINE_BYTES, MAX_IMAGES
from digits_training.errors import DataError

SUFFIXES = (".csv", ".csv.gz")
LABEL_COLUMNS = ("label", "labels", "class", "target", "digit", "y")
PIXELS = SIDE * SIDE
_LINES_AT_ONCE = 5_000  # parsed in one call


class NoLabelsError(DataError):
    """The file has pixels only."""


def read_file(path: Path) -> StoredData:
    """One CSV file, all of it training images. Raises DataError."""
    return StoredData(_part(path), None, (_data_file(path),))


def read_folder(directory: Path) -> StoredData:
    """The CSV files of a folder: one whose name contains `train`, and one with `test` if it has labels.

    Kaggle's test.csv has no labels; it is left out, and a note says so. Raises DataError.
    """
    paths = sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIXES))
    train = [path for path in paths if "train" in path.name.lower()] or (paths if len(paths) == 1 else [])
    tests = [path for path in paths if "test" in path.name.lower() and path not in train]
    if len(train) != 1 or len(tests) > 1:
        names = ", ".join(path.name for path in paths)
        raise DataError(
            f"{directory} must hold one train.csv and at most one test.csv, not {names}; name one with --data"
        )
    stored, used = _part(train[0]), [*train, *tests]
    notes = [f"not used: {path.name}" for path in paths if path not in used]
    test = None
    for path in tests:
        try:
            test = _part(path)
        except NoLabelsError:
            used.remove(path)
            notes.append(f"not used: {path.name}, which has no labels")
    return StoredData(stored, test, tuple(map(_data_file, used)), tuple(notes))


def _part(path: Path) -> StoredPart:
    try:
        with cast("IO[bytes]", gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")) as file:
            first = file.readline(MAX_CSV_LINE_BYTES)
            column, header_lines = _label_column(first, path.name)
            if not header_lines:
                file.seek(0)
            rows = _rows(file, path.name, header_lines)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is not a sound gzip file") from error
    pixels = np.delete(rows, column, axis=1)
    return StoredPart(pixels, rows[:, column], f"the pixels of {path.name}", f"the column of labels of {path.name}")


def _label_column(first: bytes, name: str) -> tuple[int, int]:
    """The column of the labels, and the number of header lines, 0 or 1."""
    separator = ";" if first.count(b";") > first.count(b",") else ","
    if separator == ";" or first.count(b"\t") > first.count(b","):
        raise DataError(f"{name} must separate its columns by commas: tr ';\\t' ',' < {name} > converted.csv")
    cells = [cell.strip(" \"'").lower() for cell in first.decode("utf-8-sig", "replace").rstrip("\r\n").split(",")]
    header = not _is_number(cells[0]) or not _is_number(cells[-1])
    if len(cells) == PIXELS:
        raise NoLabelsError(f"{name} has no labels: {PIXELS} columns, expected a column `label` and {PIXELS} pixels")
    if len(cells) != PIXELS + 1:
        raise DataError(
            f"{name} has {len(cells):,} columns; expected {PIXELS + 1}: a label and {PIXELS} pixels, row by row"
        )
    if not header:
        return 0, 0
    named = [index for index, cell in enumerate(cells) if cell in LABEL_COLUMNS]
    if len(named) != 1:
        raise DataError(f"{name} must have one column named `label`: its first is {cells[0]!r}, its last {cells[-1]!r}")
    return named[0], 1


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _rows(file: IO[bytes], name: str, header_lines: int) -> NDArray[np.float32]:
    """float32[N, 785]."""
    parts: list[NDArray[np.float32]] = []
    line = header_lines
    lines = iter(lambda: file.readline(MAX_CSV_LINE_BYTES), b"")
    while block := list(islice(lines, _LINES_AT_ONCE)):
        filled = [row for row in block if row.strip()]
        if not filled:
            line += len(block)
            continue
        text = io.StringIO(b"".join(filled).decode("utf-8-sig", "replace").replace('"', ""))
        try:
            parts.append(np.loadtxt(text, np.float32, comments=None, delimiter=",", ndmin=2))
        except ValueError as error:
            reason = str(error).split(";", maxsplit=1)[0].rstrip(".")
            raise DataError(f"{name}, lines {line + 1:,} to {line + len(block):,}: {reason}") from error
        if parts[-1].shape[1] != PIXELS + 1:
            raise DataError(f"{name}, line {line + 1:,}: {parts[-1].shape[1]:,} columns, expected {PIXELS + 1}")
        line += len(block)
        if line > MAX_IMAGES:
            raise DataError(f"{name} has more than {MAX_IMAGES:,} lines")
    if not parts:
        raise DataError(f"{name} has no images, only a header")
    return np.concatenate(parts)


def _data_file(path: Path) -> DataFile:
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return DataFile(name=path.name, sha256=checksum, size_bytes=path.stat().st_size)
