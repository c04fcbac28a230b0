"""A real Prometheus scrapes a real server: its counts are exact, and the shipped rules work on them."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.rpc import DEADLINE, refusal
from support.programs.prometheus import PrometheusProcess, selectors
from support.servers.process import ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

ALERTS = Path(__file__).parents[2] / "deploy/prometheus/rules/alerts.yml"

OF_FILES = ("digits_tls_certificate_expiry_seconds", "digits_reload_failures_total")
"""Series of certificates and tokens, which this server does not have."""

NOBODY = "127.0.0.1:1"
"""A second target, where no server listens."""


@pytest.fixture(scope="module")
def prometheus(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    targets = [server.http.removeprefix("http://"), NOBODY]
    with PrometheusProcess(targets, tmp_path_factory.mktemp("prometheus")) as running:
        until(lambda: prometheus_sees(running, "digits_model_info"), "the server is scraped")
        yield running


def prometheus_sees(prometheus: PrometheusProcess, selector: str) -> bool:
    """Whether the series is there, with a number."""
    return any(not math.isnan(value) for _, value in prometheus.query(selector))


def predict(stub: PredictionServiceStub, images: NDArray[np.uint8]) -> list[int]:
    return list(stub.Predict(PredictRequest(images=images.tobytes()), timeout=DEADLINE).digits)


def test_prometheus_counts_the_sent_images_exactly(
    stub: PredictionServiceStub, prometheus: PrometheusProcess, test_images: NDArray[np.uint8]
) -> None:
    def counts() -> dict[str, float]:
        queries = {
            **{
                f"digit {digit}": f'sum(digits_predictions_total{{digit="{digit}"}}) or vector(0)'
                for digit in range(10)
            },
            "confidences": "digits_prediction_confidence_count",
            "images in batches": "digits_batch_size_sum",
            "answered": 'grpc_server_handled_total{grpc_method="Predict", grpc_code="OK"}',
            "invalid": 'grpc_server_handled_total{grpc_method="Predict", grpc_code="INVALID_ARGUMENT"}',
            "rejected": 'digits_rejected_total{reason="invalid"}',
            "timed": 'grpc_server_handling_seconds_count{grpc_method="Predict"}',
        }
        return {name: prometheus.value(query) or 0 for name, query in queries.items()}

    before = counts()
    sizes = [1] * 20 + [7] * 3 + [1500]
    digits = [digit for size in sizes for digit in predict(stub, test_images[:size])]
    for _ in range(3):
        refusal(lambda: stub.Predict(PredictRequest(images=b"?"), timeout=DEADLINE))

    expected = {f"digit {digit}": digits.count(digit) for digit in range(10)} | {
        "confidences": len(digits),
        "images in batches": len(digits),
        "answered": len(sizes),
        "invalid": 3,
        "rejected": 3,
        "timed": len(sizes) + 3,
    }
    until(lambda: counts()["timed"] >= before["timed"] + len(sizes) + 3, "the last call is scraped")
    after = counts()
    assert {name: after[name] - before[name] for name in after} == expected


def test_the_rules_record_from_a_live_server(
    server: ServerProcess, stub: PredictionServiceStub, prometheus: PrometheusProcess, test_images: NDArray[np.uint8]
) -> None:
    recorded = [rule["name"] for rule in prometheus.rules() if rule["type"] == "recording"]
    assert len(recorded) == 11

    def all_recorded() -> bool:
        predict(stub, test_images[:5000])
        server.get("/v2")
        return all(prometheus_sees(prometheus, name) for name in recorded)

    until(all_recorded, "every recording rule has a value")
    drift = prometheus.value("job:digits_predictions:drift1h")
    assert drift is not None
    assert drift < 0.05  # the images sent are distributed almost like the training set
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}


def test_the_alerts_ask_for_series_that_a_live_server_has(
    server: ServerProcess, stub: PredictionServiceStub, prometheus: PrometheusProcess, test_images: NDArray[np.uint8]
) -> None:
    of_servers = [group for group in prometheus.get("rules")["groups"] if group["file"].endswith("/alerts.yml")]
    alerts = [rule["query"] for group in of_servers for rule in group["rules"]]
    wanted = {each for each in set().union(*map(selectors, alerts)) if not each.startswith(OF_FILES)}
    assert len(alerts) == ALERTS.read_text().count("- alert:")
    assert len(wanted) > 10

    def all_there() -> bool:
        predict(stub, test_images[:100])
        server.get("/v2")
        return all(prometheus.query(selector) for selector in wanted)

    until(all_there, "every series that an alert asks for is there")


def test_the_alarm_is_raised_for_the_server_that_is_not_there_and_for_nothing_else(
    prometheus: PrometheusProcess,
) -> None:
    def alarms() -> list[tuple[str, str]]:
        alerts = prometheus.get("alerts")["alerts"]
        return [(alert["labels"]["alertname"], alert["labels"].get("instance", "")) for alert in alerts]

    until(lambda: bool(alarms()), "an alert is on its way")
    assert alarms() == [("DigitsServerDown", NOBODY)]
