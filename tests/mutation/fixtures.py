"""What the tests share that judge changed code: `mutate.py` lays this file beside them as their conftest.py."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("mutation", parent=settings.get_profile("digits"), derandomize=True, database=None)
settings.load_profile("mutation")  # the same examples each time, so that two scores can be compared


@pytest.fixture(scope="session")
def repository() -> Path:
    """A model repository with version 1, trained before: training it again for each change would take minutes."""
    return Path(os.environ["MUTATION_REPOSITORY"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the tests with hundreds of examples last: a change is noticed by a short one most of the time."""
    items.sort(key=lambda item: item.get_closest_marker("hypothesis") is not None)
