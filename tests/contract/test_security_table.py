"""SECURITY.md says of each role and each promise which tests hold it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")]
HEADS = ("| who |", "| promise |")


def test_each_line_of_its_tables_names_tests_that_are_there() -> None:
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    promises = [line for line in LINES if not line.startswith(HEADS)]
    assert len(promises) > 20
    for line in promises:
        named = set(re.findall(r"`(test_\w+\.py)`", line))
        assert named, line
        assert named <= there, line
