"""The costs of batches, which decide how large batches are and which requests are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_server.batching.batch_costs import LEAST_CORRECTION, MOST_CORRECTION, OVERHEAD_SECONDS, BatchCosts


def per_image(seconds: float, fixed: float = 0.0) -> BatchCosts:
    return BatchCosts({2**power: fixed + seconds * 2**power for power in range(11)})


def test_a_batch_is_as_large_as_still_pays() -> None:
    assert per_image(0.0001).efficient_size == 1  # a larger batch saves nothing
    assert per_image(0.0, fixed=0.001).efficient_size == 1024
    assert per_image(0.0000008, fixed=0.00001).efficient_size == 128


def test_the_largest_size_within_a_time_ends_before_the_first_that_takes_longer() -> None:
    assert per_image(0.00001).largest_within(0.00033) == 32
    assert per_image(1.0).largest_within(0.5) == 0
    assert BatchCosts({1: 0.1, 2: 0.9, 4: 0.2}).largest_within(0.5) == 1


def test_more_images_than_the_largest_size_take_several_batches() -> None:
    costs = BatchCosts({1: 1.0, 2: 1.5, 4: 2.0})
    assert costs.of(3) == pytest.approx(2.0)
    assert costs.of(9) == pytest.approx(5.0)


def test_the_costs_follow_a_machine_that_has_become_slower() -> None:
    costs = per_image(0.001)
    for _ in range(100):
        costs.ran(8, 0.024)
    assert costs.of(8) == pytest.approx(0.024, rel=0.01)


@given(st.lists(st.tuples(st.integers(1, 3000), st.floats(0, 1e6)), max_size=50))
def test_no_measurement_makes_the_costs_useless(batches: list[tuple[int, float]]) -> None:
    costs = per_image(0.001)
    for images, seconds in batches:
        costs.ran(images, seconds)
    assert 0.001 * LEAST_CORRECTION <= costs.of(1) <= 0.001 * MOST_CORRECTION * 1.000001


def test_one_batch_counts_for_a_tenth_of_the_estimate() -> None:
    costs = BatchCosts({1: 1.0, 2: 2.0})
    costs.ran(2, 4.0)
    assert costs.of(1) == pytest.approx(0.9 * 1.0 + 0.1 * 2.0)
    costs.ran(2, 4.0)
    assert costs.of(1) == pytest.approx(0.9 * 1.1 + 0.1 * 2.0)
    assert costs.at_warm_up(2) == 2.0


def test_the_correction_ends_at_its_bounds() -> None:
    costs = BatchCosts({1: 1.0})
    for _ in range(100):
        costs.ran(1, 0.0)
    assert costs.of(1) == LEAST_CORRECTION
    costs.ran(1, 1e9)
    assert costs.of(1) == MOST_CORRECTION


def test_a_model_that_took_no_time_at_the_warm_up_is_no_division_by_zero() -> None:
    costs = BatchCosts({1: 0.0})
    costs.ran(1, 1.0)
    assert costs.of(1) == 0.0


def test_twice_the_work_takes_twice_the_time() -> None:
    costs = BatchCosts({1: 1.0, 2: 1.5}).doubled()
    assert (costs.of(1), costs.of(2)) == (2.0, 3.0)


def test_sizes_may_be_measured_in_any_order() -> None:
    costs = BatchCosts({4: 4.0, 1: 1.0, 2: 2.0})
    assert costs.largest_within(2.0) == 2
    assert costs.efficient_size == 1


def test_an_image_may_cost_a_quarter_more_than_in_the_cheapest_size() -> None:
    assert BatchCosts({1: 0.00123, 2: 0.002 - OVERHEAD_SECONDS}).efficient_size == 1  # 1.25 ms an image, and 1 ms
    assert BatchCosts({1: 0.001231, 2: 0.002 - OVERHEAD_SECONDS}).efficient_size == 2
