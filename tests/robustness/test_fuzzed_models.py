"""A short round of `make fuzz`: random model files must not end a process."""

from pathlib import Path

import pytest
from support.attacks.fuzz import fuzz
from support.records import Record

INPUTS = {"graphs": (400, 20_000), "keras": (12, 1_000), "h5": (12, 1_000), "saved_models": (12, 1_000)}
"""Number of inputs by reader: of a short round, and of a full one."""

FILES = {"graphs": "model.tflite", "keras": "model.keras", "h5": "model.keras", "saved_models": "model.keras"}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("door", INPUTS)
def test_no_random_model_file_ends_the_process_that_reads_it(
    door: str, repository: Path, record: Record, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    count = INPUTS[door][full]
    outcomes, deaths = fuzz(door, repository / "digits/1" / FILES[door], count=count, seconds=1500)
    assert deaths == []
    assert outcomes.total() == count
    assert outcomes["refused"]
    name = door.replace("_", " ")
    record(f"{count:,} random {name} files read by processes that hold nothing back: deaths", "0")
