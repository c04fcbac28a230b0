"""When the RPCs of a batch must be answered, and when an overloaded server is called again."""

import time

import pytest
from support.waiting import until

from digits_client import Overloaded, ResourceExhausted, Unavailable
from digits_client._shared import deadline_of_each_rpc, retry_delay


def overloaded(seconds: float) -> Overloaded:
    error = Overloaded("the queue is full")
    error.retry_after_seconds = seconds
    return error


def test_the_timeout_of_a_batch_holds_for_all_its_rpcs_and_that_of_the_client_for_each() -> None:
    together, each = deadline_of_each_rpc(10, 20), deadline_of_each_rpc(None, 20)
    first = together(), each()
    until(lambda: each() > first[1], "the next RPC has a later deadline")
    assert together() == first[0] < first[1]


def test_an_overloaded_server_is_asked_again_after_its_own_delay_within_the_deadline() -> None:
    deadline = time.monotonic() + 100
    assert retry_delay(overloaded(20), 0, deadline) == 20
    assert retry_delay(overloaded(200), 0, deadline) is None
    assert 0 < (retry_delay(overloaded(0), 0, deadline) or 0) < 1


def test_a_server_that_stays_overloaded_is_asked_less_and_less_often_up_to_a_bound() -> None:
    deadline = time.monotonic() + 100
    delays = [retry_delay(overloaded(0.1), refusals, deadline) or 0 for refusals in (0, 1, 2, 6, 10, 5000)]
    assert delays == sorted(delays)
    assert delays[0] == 0.1
    assert delays[0] < delays[3] < delays[-1] == delays[-2]


@pytest.mark.parametrize("kind", [ResourceExhausted, Unavailable])
def test_after_any_other_error_nothing_is_asked_again(kind: type[Exception]) -> None:
    assert retry_delay(kind("no"), 0, time.monotonic() + 100) is None  # type: ignore[arg-type]
