"""From predictions a day to cores."""

from benchmarks.scaling import daily, page
from benchmarks.scaling.capacity import UTILISATION


def test_cores_do_the_work_of_a_second_within_their_share_of_it() -> None:
    assert daily.cores(10_000, cost_us=1e6 * UTILISATION / 10_000) == 1
    assert daily.cores(10_001, cost_us=1e6 * UTILISATION / 10_000) == 2


def test_a_day_is_sized_for_its_peak() -> None:
    costs = daily.Costs(single=60.0, batch=192.0, envoy=90.0, behind_envoy=72.0)
    text = daily.page_part(costs)
    # A billion a day: 11,574 a second, 34,722 at the peak, × 60 µs / 60 % = 3.5 cores.
    assert "| 1,000,000,000 | 11,574 | 34,722 | 4 | 5 + 6 for Envoy | 1 | 0.22 |" in text
    assert "| 100,000,000,000 | 1,157,407 | 3,472,222 | 348 | 417 + 521 for Envoy | 35 | 21.78 |" in text


def test_nothing_is_calculated_without_a_measurement() -> None:
    assert daily.page_part(daily.Costs(60.0, None, None, None)).startswith("Not measured")


def test_a_run_on_a_busy_machine_is_reported() -> None:
    def measured(one: float, two: float) -> page.Round:
        rates = {"native-one": one, "native-two": two}
        return {name: {"single": {"requests_per_second": rate}} for name, rate in rates.items()}

    assert not page.disturbed([measured(10_000, 19_500)])
    assert page.disturbed([measured(10_000, 9_000)])
    assert page.disturbed([measured(10_000, 48_000)])
