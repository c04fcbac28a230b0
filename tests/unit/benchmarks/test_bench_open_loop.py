"""The open loop's accounting, on lines that its generator printed."""

import json

import pytest

from benchmarks.loads.open_loop import account, parse

LINES = """\
719\t42\t1522\t0\t11
1452\t26\t837\t0\t11
4452\t23\t2486\t0\t11
18835\t60\t1327\t0\t11
22403\t373\t10236\t0\t11
26621\t2154\t6291\t0\t11
"""
UNIMPLEMENTED = "719\t39\t1341\t12\t0\n1452\t33\t658\t12\t0\n"


def test_times_are_milliseconds() -> None:
    first = parse(LINES)[0]
    assert (first.intended, first.late, first.latency) == (0.719, 0.042, 1.522)


def test_latency_counts_from_the_intended_moment_and_lateness_is_shown() -> None:
    figures = account(parse(LINES), offered=200.0, reply_bytes=11)
    assert (figures.offered, figures.requests, figures.failed) == (200.0, 6, 0)
    assert (figures.p50, figures.p99) == (1.522, 10.236)
    assert figures.late_p99 == 2.154


def test_fast_refusals_do_not_make_a_server_look_quick() -> None:
    figures = account(parse(LINES + UNIMPLEMENTED), offered=200.0, reply_bytes=11)
    assert (figures.requests, figures.failed) == (8, 2)
    assert figures.p50 == 1.522


def test_a_reply_of_another_size_is_a_failure() -> None:
    assert account(parse(LINES), offered=200.0, reply_bytes=12).failed == 6


def test_where_nothing_was_answered_there_is_no_latency() -> None:
    figures = account(parse(UNIMPLEMENTED), offered=200.0, reply_bytes=11)
    assert (figures.p50, figures.p99, figures.failed) == (None, None, 2)


def test_a_broken_line_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        parse("719\t42\t1522\n")


def test_what_results_keep_is_figures_alone() -> None:
    figures = account(parse(UNIMPLEMENTED), 10.0, 11).figures()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["failed"] == 2
