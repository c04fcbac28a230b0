"""The two loops of `digits bench`: their calls, their schedule and their counts."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_client import Unavailable
from digits_client._command import bench
from digits_client._command.bench import PERCENTILES, Load, Run, closed_loop, open_loop

DEADLINE = 30.0


async def test_a_closed_loop_keeps_exactly_the_given_number_of_calls_in_flight() -> None:
    now = 0
    seen = set()

    async def call() -> None:
        nonlocal now
        now += 1
        seen.add(now)
        await asyncio.sleep(0.001)
        now -= 1

    run = Run(1)
    await closed_loop(call, Load(seconds=0.1, in_flight=5, rate=None, images_per_call=1), run)
    assert max(seen) == 5
    assert len(run.latencies) >= 5
    assert not run.errors


async def test_an_open_loop_calls_when_it_is_time_whether_answers_come_or_not() -> None:
    """No call returns before the last one has been made: a loop that waited for an answer would never end."""
    begun = 0
    all_begun = asyncio.Event()

    async def call() -> None:
        nonlocal begun
        begun += 1
        if begun == 50:
            all_begun.set()
        await all_begun.wait()

    run = Run(1)
    async with asyncio.timeout(DEADLINE):
        await open_loop(call, 1000, 0.05, run)
    assert len(run.latencies) == 50


async def test_latencies_of_an_open_loop_count_from_when_the_call_was_due() -> None:
    """The first call blocks the loop itself for 50 ms, in which 50 more were due: they count their wait."""
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            end = asyncio.get_running_loop().time() + 0.05
            while asyncio.get_running_loop().time() < end:
                pass

    run = Run(1)
    await open_loop(call, 1000, 0.06, run)
    assert sum(latency > 0.005 for latency in run.latencies) >= 30


async def test_an_open_loop_that_cannot_keep_up_ends_in_time_and_reports_unsent_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "LATEST_SECONDS", 0)

    async def call() -> None:
        return

    run = Run(1)
    async with asyncio.timeout(DEADLINE):
        await open_loop(call, bench.MOST_RATE, 0.2, run)  # more calls than any process can begin
    assert run.due == 200_000
    assert run.late > 0
    assert len(run.latencies) == run.due - run.late - run.unsent
    assert f"{run.late:,} of them" in str(run.shortfall())


async def test_an_open_loop_says_that_the_server_left_too_many_calls_unanswered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "MOST_OUTSTANDING", 5)
    answered = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, answered.set)

    async def call() -> None:
        await answered.wait()

    run = Run(1)
    await open_loop(call, 1000, 0.02, run)
    assert (run.due, run.unsent, run.late, len(run.latencies)) == (20, 15, 0, 5)
    assert str(run.shortfall()).startswith(
        "the rate was not reached: 5 of 20 calls were begun; 15 of them were due while"
    )


async def test_an_open_loop_that_keeps_up_reports_no_shortfall() -> None:
    async def call() -> None:
        return

    run = Run(1)
    await open_loop(call, 100, 0.05, run)
    assert (run.due, run.shortfall()) == (5, None)


async def test_failures_are_counted_by_name_and_not_as_answers() -> None:
    async def call() -> None:
        raise Unavailable("nobody there")

    run = Run(1)
    await open_loop(call, 1000, 0.01, run)
    assert run.errors == {"Unavailable": 10}
    assert len(run.latencies) == 0


@given(st.lists(st.floats(0, 100), min_size=1))
def test_percentiles_are_those_of_the_nearest_rank(latencies: list[float]) -> None:
    run = Run(1, seconds=1.0)
    run.latencies.extend(latencies)
    for percent in PERCENTILES:
        assert run.percentile(percent) in latencies
        assert run.percentile(percent) == np.quantile(latencies, percent / 100, method="inverted_cdf")
    assert run.percentile(100) == max(latencies)


def test_images_per_second_count_every_image_of_a_call() -> None:
    run = Run(32, seconds=2.0)
    run.latencies.extend([0.1] * 10)
    assert (run.calls_per_second, run.images_per_second) == (5, 160)
