"""A short round of `make fuzz`: random model files must not end a process."""

from pathlib import Path

import pytest
from support.attacks.fuzz import fuzz
from support.attacks.import_doors import IMPORTS
from support.records import Record

GRAPHS, FILES = (200, 20_000), (12, 1_000)
"""Number of graphs, and of files of each kind: of a short round, and of a full one."""

SECONDS = 1500
"""The longest round of one kind."""

pytestmark = pytest.mark.timeout(5400)


def test_no_random_graph_ends_the_process_that_reads_it(
    repository: Path, record: Record, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    count = GRAPHS[full]
    outcomes, deaths = fuzz("graphs", repository / "digits/1/model.tflite", count=count, seconds=SECONDS)
    assert deaths == []
    assert outcomes.total() == count
    assert outcomes["refused"]
    record(f"{count:,} random graphs files read by processes that hold nothing back: deaths", "0")


def test_no_random_file_to_import_ends_the_process_that_reads_it(
    repository: Path, record: Record, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    """Every kind of file in one process: TensorFlow takes seconds to start."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    count = FILES[full]
    model = repository / "digits/1/model.keras"
    outcomes, deaths = fuzz("imports", model, count=count * len(IMPORTS), seconds=SECONDS * len(IMPORTS))
    assert deaths == []
    assert outcomes.total() == count * len(IMPORTS)
    for door in IMPORTS:
        assert outcomes[f"{door} refused"]
        name = door.replace("_", " ")
        record(f"{count:,} random {name} files read by processes that hold nothing back: deaths", "0")
