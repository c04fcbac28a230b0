"""Data sets that are refused."""

from pathlib import Path

import pytest

from digits_training import data
from digits_training.errors import DataError


def refused_data(folder: Path, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        data.read(folder)
