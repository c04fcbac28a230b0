"""SECURITY.md names the tests that check each role and each promise."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINES = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")]
HEADS = ("| who |", "| promise |")
RECORDED = {path.name for path in (ROOT / "tests/robustness").glob("test_*.py")}
FIGURES = (ROOT / "tests/robustness/README.md").read_text().splitlines()


def test_each_line_of_its_tables_names_tests_that_are_there() -> None:
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    promises = [line for line in LINES if not line.startswith(HEADS)]
    assert len(promises) > 20
    for line in promises:
        named = set(re.findall(r"`(test_\w+\.py)`", line))
        assert named, line
        assert named <= there, line


def test_each_figure_of_an_attack_is_the_one_that_was_recorded() -> None:
    """`make robust` writes the figures of both pages."""
    begin = next(place for place, line in enumerate(LINES) if line.startswith("| promise | attack"))
    attacks = LINES[begin + 1 :]
    assert len(attacks) > 20
    for line in attacks:
        promise, row = line.removeprefix("| ").split(" | ", 1)
        assert promise
        recorded = RECORDED.intersection(re.findall(r"`(test_\w+\.py)`", row))
        assert not recorded or f"| {row}" in FIGURES, line
