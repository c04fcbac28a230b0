"""Percentiles, medians over rounds, and ratios within one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.common.figures import median_of, percentile, percentile_of_counts, ratio
from benchmarks.common.report import last_run
from benchmarks.serving.results import Results, Round, figure
from benchmarks.serving.targets import Target, echo_and_network, of_server


def results(*rounds: Round) -> Results:
    return Results(
        date="2026-01-01",
        minutes=1.0,
        options={"seconds": 1.5, "workers": 1, "server_cores": "0", "load_cores": "1"},
        machine={"CPU": "two"},
        titles={"digits-grpcio": "Digits", "echo-grpcio": "the floor"},
        variants={},
        skipped={},
        rounds=list(rounds),
    )


def cpu(ours: float, floor: float) -> Round:
    return {"digits-grpcio": {"single_64": {"cpu_us": ours}}, "echo-grpcio": {"single_64": {"cpu_us": floor}}}


def test_percentiles_are_nearest_ranks() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_is_a_value_that_its_share_does_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


@given(st.dictionaries(st.floats(0, 1e6), st.integers(1, 5), min_size=1), st.floats(0, 1))
def test_a_percentile_of_a_histogram_is_that_of_its_values(counts: dict[float, int], share: float) -> None:
    histogram = sorted(counts.items())
    values = [value for value, count in histogram for _ in range(count)]
    assert percentile_of_counts(histogram, share) == percentile(values, share)


def test_a_missing_figure_stays_missing() -> None:
    assert median_of([None, None]) is None
    assert median_of([3.0, None, 1.0]) == 2.0
    assert ratio(1.0, None) is None
    assert ratio(None, 1.0) is None
    assert ratio(1.0, 0.0) is None
    assert figure({"a": {"b": 1.0}}, "a", "b", "c") is None
    assert figure({}, "a", "b") is None


def test_ratios_are_taken_within_a_round_before_the_median() -> None:
    # The machine was ten times slower in one round. The ratio of the medians would be 300 / 100.
    run = results(cpu(200, 100), cpu(3000, 1000), cpu(300, 100))
    target = of_server("digits-grpcio")[0]
    assert target.measured(run) == 3.0
    assert not target.met(3.0)
    assert target.met(1.0)


def test_at_least_is_met_from_the_bound_upwards() -> None:
    target = Target("images/s", lambda _: None, 1.4, at_least=True)
    assert target.met(1.4)
    assert not target.met(1.39)
    assert target.measured(results(cpu(1, 1))) is None


def test_an_echo_and_a_network_share_a_core() -> None:
    measured: Round = {"echo-native": {"batch_1024": {"images_per_second": 1e6}}, "network": {"1024": 1024.0}}
    assert echo_and_network(measured) == pytest.approx(500_000)  # both alone: a million
    assert echo_and_network({}) is None


def test_a_server_that_failed_is_reported_by_round() -> None:
    run = results(cpu(1, 1), {"digits-grpcio": {"error": "single_64: no answer"}})
    assert run.errors() == ["Digits, round 2: single_64: no answer"]


def test_open_loop_steps_are_medians_over_the_rounds_that_have_them() -> None:
    steps = [{"share": 0.5, "p99": 2.0}, {"share": 0.9, "p99": 8.0}]
    slower = [{"share": 0.5, "p99": 4.0}, {"share": 0.9, "p99": None}]
    run = results({"digits-grpcio": {"open_loop": steps}}, {"digits-grpcio": {"open_loop": slower}}, cpu(1, 1))
    assert run.open_loop("digits-grpcio") == [{"share": 0.5, "p99": 3.0}, {"share": 0.9, "p99": 8.0}]
    assert run.open_loop("triton") == []


def test_without_a_run_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="does not exist: only a run without --report writes it"):
        last_run(tmp_path / "results.json")


def test_raw_figures_survive_the_disk(tmp_path: Path) -> None:
    run = results(cpu(1.23456789, 2))
    path = tmp_path / "results.json"
    path.write_text(run.dumps())
    assert Results.loads(last_run(path)).median("digits-grpcio", "single_64", "cpu_us") == 1.2346
    assert json.loads(run.dumps())["titles"] == run.titles
