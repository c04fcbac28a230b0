"""A repository of three versions, for `digits-server models` to tell of and to change."""

from pathlib import Path

import pytest
from support.models.variants import publish


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """A repository of the versions 1 to 3."""
    for version in (1, 2, 3):
        publish(repository, tmp_path, version)
    return tmp_path
