"""From the cost of a request to a number of servers."""

from benchmarks.scaling.capacity import SPARE, UTILISATION, plan


def test_a_replica_is_planned_with_its_share_of_a_core() -> None:
    assert plan(1, cost_us=100).capacity == UTILISATION * 10_000


def test_a_peak_gets_whole_replicas_and_one_to_spare() -> None:
    one = plan(1, cost_us=100).capacity
    assert plan(one, cost_us=100).needed == 1
    assert plan(one + 1, cost_us=100).needed == 2
    assert plan(one + 1, cost_us=100).replicas == 2 + SPARE
