"""The commands' answers to wrong numbers and to a rate that was not reached, without a server."""

import json
from array import array
from typing import Any

import pytest

from digits_client import cli
from digits_client._command.bench import MOST_RATE, Run


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--rate", str(MOST_RATE + 1), f"expected at most {MOST_RATE:,} calls a second, got {MOST_RATE + 1}"),
        ("--rate", "0", "expected a positive number, got 0"),
        ("--seconds", "inf", "expected a positive number, got inf"),
        ("--in-flight", "0", "expected at least 1, got 0"),
        ("--images", "-3", "expected at least 1, got -3"),
    ],
)
def test_a_number_out_of_its_range_is_wrong_usage(
    option: str, value: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.run(["bench", option, value])
    assert left.value.code == 2
    assert f"argument {option}: {sentence}\n" in capsys.readouterr().err


@pytest.mark.parametrize("late", [0, 3])
def test_a_rate_that_was_not_reached_is_said_beside_the_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], late: int
) -> None:
    async def measured(*_: Any) -> Run:
        return Run(1, 1.0, array("d", [0.001] * 7), due=7 + late, late=late)

    monkeypatch.setattr(cli, "measure", measured)
    assert cli.run(["bench", "--json", "--target", "127.0.0.1:1"]) == 0
    shown = capsys.readouterr()
    sentence = "digits: the rate was not reached: 7 of 10 calls were begun; this process had no time for 3 of them\n"
    assert shown.err == (sentence if late else "")
    assert json.loads(shown.out)["calls"] == 7
