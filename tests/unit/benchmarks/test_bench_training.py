"""The figures on docs/training.md are the medians of the runs in results.json."""

from benchmarks.training.page import figures


def _run(accuracy: float, seconds: float, recall: float) -> dict[str, object]:
    return {
        "seconds": seconds,
        "cpu_seconds": 2 * seconds,
        "parameters": 63_130,
        "validation_accuracy": 0.99,
        "test_accuracy": accuracy,
        "recalls": [recall, 1.0],
    }


def test_the_row_of_a_network_has_its_medians_and_extremes() -> None:
    runs = [_run(0.9950, 100, 0.990), _run(0.9958, 300, 0.995), _run(0.9954, 110, 0.985)]
    machine = {"date": "2026-01-02", "CPU": "a processor, 2 cores", "load": "2.0"}
    table = figures({"cnn": {"machine": machine, "runs": runs}})
    row = "| cnn | 63,130 | 99.54% | 99.50% to 99.58% | 3 | 110 | 100 to 300 | 220 | 0.010 |"
    assert row in table.splitlines()
    assert "- cnn: 2026-01-02, a processor, 2 cores; load average 2.0" in table
