"""The whole stack from its images, as started by `docker compose up --scale server=3`.

The tests run in order, on one stack.

Not part of `make test`: it needs a container engine. `make test-compose` runs it.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.steady_load import SteadyLoad
from support.programs.compose import BUILD_SECONDS, UP_SECONDS, Stack
from support.programs.engine import docker, inspect, require_engine
from support.waiting import until

from digits_client import Client

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 2 * UP_SECONDS)

REPLICAS = 3
CALLERS = 24
SCRAPE_SECONDS = 60.0
"""Deadline for a change to show in Prometheus, which looks every 5 s."""
ALERT_SECONDS = 240.0
"""Deadline for an alert to arrive: the servers must be stopped for a minute."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Built, trained, three replicas healthy behind Envoy."""
    require_engine()
    with Stack() as running:
        running.compose("build", seconds=BUILD_SECONDS)
        started = ("envoy", "prometheus", "alertmanager", "alert-log")
        running.compose("up", "--detach", "--scale", f"server={REPLICAS}", *started, seconds=UP_SECONDS)
        running.wait_healthy("server", REPLICAS)
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.target, timeout=60.0) as connected:
        connected.wait_ready(UP_SECONDS)
        yield connected


def test_the_test_set_is_classified_from_outside_as_well_as_when_it_was_trained(
    client: Client, test_images: NDArray[np.uint8], test_labels: NDArray[np.uint8]
) -> None:
    accuracy = float((client.predict_batch(test_images).digits == test_labels).mean())
    assert accuracy == pytest.approx(client.model().manifest.metrics.test_accuracy)


def test_prometheus_finds_every_replica_and_sees_each_of_them_answer(stack: Stack) -> None:
    with SteadyLoad(stack.target, CALLERS) as load:
        load.wait_for_more(600)
        until(
            lambda: len(stack.query('sum by (instance) (digits_predictions_total{job="digits"}) > 0')) == REPLICAS,
            "every replica has answered, by Prometheus",
            SCRAPE_SECONDS,
        )
    assert load.outcomes.keys() == {"OK"}


def test_prometheus_reads_envoys_metrics(stack: Stack) -> None:
    healthy = 'envoy_cluster_membership_healthy{job="envoy", envoy_cluster_name="digits"}'
    until(lambda: list(stack.query(healthy).values()) == [REPLICAS], "Envoy's metrics, by Prometheus", SCRAPE_SECONDS)


def test_the_servers_serve_over_the_native_transport(stack: Stack) -> None:
    for each in stack.containers("server"):
        (listening,) = (line for line in docker("logs", each).splitlines() if '"message": "listening"' in line)
        assert json.loads(listening)["transport"] == "native"


def test_envoy_carries_http_too_but_no_metrics(stack: Stack) -> None:
    with urllib.request.urlopen(f"{stack.http}/readyz", timeout=10) as page:
        assert page.status == 200
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(f"{stack.http}/metrics", timeout=10)
    refused.value.close()


def test_a_second_version_reaches_every_replica_and_no_caller_notices(stack: Stack, client: Client) -> None:
    with SteadyLoad(stack.target, CALLERS) as load:
        stack.compose("run", "--rm", "train", "train", "--seed", "1", seconds=UP_SECONDS)
        until(
            lambda: len(stack.query('digits_model_info{model_version="2"} == 1')) == REPLICAS,
            "every replica serves version 2, by Prometheus",
            SCRAPE_SECONDS,
        )
        load.wait_for_more(300)
    assert load.outcomes.keys() == {"OK"}
    assert client.model().manifest.model_version == 2


def test_a_rollback_and_a_canary_reach_every_replica_by_one_command_and_no_caller_notices(
    stack: Stack, client: Client
) -> None:
    assert "version 1 is pinned; it was 2" in stack.models("rollback", "--dry-run")
    assert client.model().pinned_version == 0
    with SteadyLoad(stack.target, CALLERS) as load:
        assert "version 1 is pinned; it was 2" in stack.models("rollback")
        until(
            lambda: len(stack.query('digits_model_info{model_version="1"} == 1')) == REPLICAS,
            "every replica serves version 1 again, by Prometheus",
            SCRAPE_SECONDS,
        )
        stack.models("canary", "2", "--share", "50%")
        until(
            lambda: len(stack.query('increase(digits_predictions_total{model_version="2"}[15s]) > 0')) == REPLICAS,
            "version 2 answers its share on every replica, by Prometheus",
            SCRAPE_SECONDS,
        )
        load.wait_for_more(300)
    assert load.outcomes.keys() == {"OK"}
    said = stack.models("list", "--json")
    listed, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])  # compose prints its own lines, too
    assert (listed["current"], listed["pinned"], listed["canary"]) == (1, 1, {"version": 2, "share": 0.5})
    stack.models("pin", "2")
    until(lambda: client.model().manifest.model_version == 2, "version 2 answers again", SCRAPE_SECONDS)


def test_only_training_and_the_models_command_may_write_to_the_repository(stack: Stack) -> None:
    (mount,) = (each for each in inspect(stack.containers("server")[0])["Mounts"] if each["Destination"] == "/models")
    assert mount["RW"] is False


def test_a_replica_that_is_killed_under_load_is_not_missed(stack: Stack) -> None:
    killed = stack.containers("server")[0]
    with SteadyLoad(stack.target, CALLERS) as load:
        load.wait_for_more(300)
        docker("kill", "--signal", "KILL", killed)
        load.wait_for_more(1000)
    assert load.outcomes.keys() == {"OK"}
    docker("start", killed)
    stack.wait_healthy("server", REPLICAS)


def test_a_replica_that_is_stopped_under_load_is_not_missed_and_exits_0(stack: Stack) -> None:
    stopped = stack.containers("server")[0]
    with SteadyLoad(stack.target, CALLERS) as load:
        load.wait_for_more(300)
        docker("stop", "--time", "30", stopped)
        load.wait_for_more(1000)
    assert load.outcomes.keys() == {"OK"}
    assert inspect(stopped)["State"]["ExitCode"] == 0
    docker("start", stopped)
    stack.wait_healthy("server", REPLICAS)


def test_servers_that_are_gone_are_an_alert_that_the_receiver_prints(stack: Stack) -> None:
    (receiver,) = stack.containers("alert-log")
    stack.compose("stop", "server", seconds=UP_SECONDS)
    until(lambda: "firing critical DigitsServerDown" in docker("logs", receiver), "the alert is printed", ALERT_SECONDS)
    stack.compose("start", "server", seconds=UP_SECONDS)
    stack.wait_healthy("server", REPLICAS)
