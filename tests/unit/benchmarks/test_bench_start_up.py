"""The time of a start is shown step by step."""

from benchmarks.serving.start_up import STEPS, added, rows


def test_each_step_is_shown_as_what_it_adds_and_the_last_row_as_all() -> None:
    totals = [(0.5 * (at + 1), 10.0 * (at + 1)) for at in range(len(STEPS))]
    assert added(totals) == [(0.5, 10.0)] * len(STEPS)
    lines = rows([totals, totals, totals]).splitlines()
    assert len(lines) == 2 + len(STEPS) + 1
    assert lines[2] == "| Python itself | 0.50 | 10.0 |"
    assert lines[-1] == f"| **all** | {0.5 * len(STEPS):.2f} | {10.0 * len(STEPS):.1f} |"
