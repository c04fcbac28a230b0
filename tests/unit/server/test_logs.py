"""Log lines for people: text from a caller cannot look like a separate line."""

import logging
import sys
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_server.observability.logs import TextFormatter

FORGED = "fine\n12:00:00 ERROR   the disk is on fire"


def written(message: str, **extra: object) -> str:
    record = logging.makeLogRecord({"msg": message, "levelno": logging.INFO, "levelname": "INFO", **extra})
    return TextFormatter().format(record)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_record_is_one_line_whatever_is_in_it(end: str) -> None:
    forged = FORGED.replace("\n", end)
    assert len(written(forged).splitlines()) == 1
    assert len(written("request", method=f"GET {forged}").splitlines()) == 1


@given(st.text())
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    assert written(text, method=text).isprintable()


def test_printable_characters_stay_unchanged() -> None:
    assert written("Grüße, 数字 ✓ \\n").endswith("Grüße, 数字 ✓ \\n")


def test_the_lines_of_a_traceback_are_indented() -> None:
    try:
        raise ValueError(FORGED + "\x1b[2J")
    except ValueError:
        lines = written("failed", exc_info=sys.exc_info()).splitlines()
    assert lines[0].split()[-1] == "failed"
    assert all(line.startswith("    ") for line in lines[1:])
    assert "\x1b" not in "".join(lines)
    datetime.strptime(lines[0].split()[0], "%H:%M:%S")
