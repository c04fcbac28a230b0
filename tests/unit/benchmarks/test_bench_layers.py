"""Samples of stacks are counted for the file of ours that was at work."""

from benchmarks.serving.layers import ELSEWHERE, layer, shares

MODEL = "run (uvloop/a.py:1);predict (digits_server/service/calls.py:9);_run (digits_server/runtimes/litert.py:4)"
LOOP = "main (digits_server/__main__.py:2);run (uvloop/__init__.py:3)"


def test_a_stack_counts_for_its_innermost_file_of_ours() -> None:
    assert layer(MODEL) == "runtimes/litert.py"
    assert layer(LOOP) == ELSEWHERE


def test_shares_are_of_all_samples() -> None:
    assert shares(f"{MODEL} 1\n{LOOP} 3\n") == {ELSEWHERE: 0.75, "runtimes/litert.py": 0.25}
