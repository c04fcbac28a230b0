"""Locust's output is parsed correctly, and the table shows whether two tools agree."""

import json

import pytest

from benchmarks.locust import __main__ as command
from benchmarks.locust.tools import Load, Told, told_by_locust

STATISTICS = {
    "name": "Predict",
    "method": "grpc",
    "start_time": 100.0,
    "last_request_timestamp": 104.0,
    "num_requests": 100,
    "num_failures": 2,
    "response_times": {"3": 60, "12": 39, "2.5": 1},
}


def test_requests_failures_rate_and_percentiles_are_read() -> None:
    told = told_by_locust(json.dumps([STATISTICS]))
    assert told == Told(requests=98, failed=2, rate=25.0, p50=3.0, p99=12.0)


@pytest.mark.parametrize("output", ["[]", json.dumps([STATISTICS, STATISTICS])])
def test_anything_but_one_kind_of_request_is_an_error(output: str) -> None:
    with pytest.raises(ValueError, match="unpack"):
        told_by_locust(output)


def test_the_table_shows_what_the_tool_and_what_the_server_counted() -> None:
    row = (Load(200, 32, 10), "Locust", Told(1996, 0, 199.6, 3.0, 12.0), 1997, 410.4)
    text = command.figures([row], 10)
    assert "| 200 requests/s of 32 images | Locust | 1,996 | 1,997 | 0 | 200 | 3.0 | 12.0 | 410 |" in text
