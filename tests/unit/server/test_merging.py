"""One page of several processes: no event is counted twice, none is lost when a process ends, no total goes down."""

import json
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from digits_server.observability.metrics import Metrics
from digits_server.observability.prediction_counts import DEPARTED_VERSIONS, PredictionCounts
from digits_server.workers.merging import GAUGES, Family, Sample, lasting, merge, pruned, rounded, vanished
from digits_server.workers.metric_families import Families, to_families

BOUNDS = (0.001, 0.1, 1.0)


class Process:
    """The counts of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter("calls", "Calls.", ("code",), registry=self.registry)
        self.seconds = Histogram("seconds", "Seconds.", ("method",), registry=self.registry, buckets=BOUNDS)
        self.queue = Gauge("digits_queue_images", "Images.", registry=self.registry)

    def report(self) -> list[Family]:
        """Its families after the way through a socket."""
        report: list[Family] = json.loads(json.dumps(to_families(self.registry.collect())))
        return report


@dataclass
class Server:
    """Processes that come and go, and one page for all."""

    processes: list[Process] = field(default_factory=lambda: [Process(), Process(), Process()])
    left: list[Family] = field(default_factory=list)

    def replace(self, index: int) -> None:
        self.left = merge([self.left, lasting(self.processes[index].report())])
        self.processes[index] = Process()

    def page(self) -> list[Family]:
        return rounded(merge([*(process.report() for process in self.processes), self.left]))


def samples(page: list[Family]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (name, frozenset(labels.items())): float(value) for family in page for name, labels, value in family["samples"]
    }


PLACES = st.integers(0, 2)
SECONDS = st.floats(0, 1e6, allow_nan=False)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), PLACES, st.sampled_from(["OK", "INTERNAL"]), SECONDS),
        st.tuples(st.just("replace"), PLACES),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(EVENTS)
def test_totals_equal_the_counts_and_never_go_down_whichever_process_is_replaced(
    events: list[tuple[object, ...]],
) -> None:
    server = Server()
    observed: list[float] = []
    before: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for event in events:
        match event:
            case ("call", int(place), str(code), float(seconds)):
                server.processes[place].calls.labels(code).inc()
                server.processes[place].seconds.labels("Predict").observe(seconds)
                observed.append(seconds)
            case (_, int(place)):
                server.replace(place)
        now = samples(server.page())
        assert all(now[key] >= value for key, value in before.items() if key[0] != "digits_queue_images")
        before = now
    if observed:
        method = frozenset([("method", "Predict")])
        assert sum(value for (name, _), value in before.items() if name == "calls_total") == len(observed)
        assert before["seconds_count", method] == len(observed)
        assert math.isclose(before["seconds_sum", method], math.fsum(observed))
        for bound in BOUNDS:
            key = ("seconds_bucket", method | {("le", str(bound))})
            assert before[key] == sum(seconds <= bound for seconds in observed)


@settings(deadline=None)
@given(EVENTS)
def test_a_page_is_one_that_prometheus_reads_in_either_format(events: list[tuple[object, ...]]) -> None:
    server = Server()
    for event in events:
        match event:
            case ("call", int(place), str(code), float(seconds)):
                server.processes[place].calls.labels(code).inc()
                server.processes[place].seconds.labels(code).observe(seconds)  # so that not all have the same series
            case (_, int(place)):
                server.replace(place)
    page = Families(server.page())
    registry = CollectorRegistry()
    registry.register(page)
    wanted = samples(server.page())
    for families in (
        parse_text(generate_latest(registry).decode()),
        parse_openmetrics(generate_openmetrics(registry).decode()),  # type: ignore[no-untyped-call]
    ):
        read = [sample for family in families for sample in family.samples]
        found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in read}
        assert found == wanted
        assert len(read) == len(wanted)


def test_each_bucket_keeps_its_latest_example_though_the_process_it_came_from_has_ended() -> None:
    server = Server()
    slow = {"trace_id": "b" * 32}
    for place, trace_id in ((0, "a" * 32), (1, "c" * 32), (2, "a" * 32)):
        seconds = server.processes[place].seconds.labels("Predict")
        seconds.observe(0.05, {"trace_id": trace_id})
    server.processes[1].seconds.labels("Predict").observe(0.5, slow)
    server.processes[0].seconds.labels("Predict").observe(0.06, {"trace_id": "d" * 32})
    for place in range(3):
        server.replace(place)
    registry = CollectorRegistry()
    registry.register(Families(server.page()))
    read = parse_openmetrics(generate_openmetrics(registry).decode())  # type: ignore[no-untyped-call]
    buckets = [sample for family in read for sample in family.samples if sample.exemplar]
    found = {sample.labels["le"]: (sample.exemplar.labels, sample.exemplar.value, sample.value) for sample in buckets}
    assert found == {"0.1": ({"trace_id": "d" * 32}, 0.06, 4), "1.0": (slow, 0.5, 5)}


@given(st.lists(SECONDS, min_size=1), st.integers(0))
def test_a_total_is_the_same_in_the_last_bit_whichever_process_ends_first(values: list[float], cut: int) -> None:
    def family(value: float) -> list[Family]:
        return [{"name": "seconds", "help": "", "type": "counter", "samples": [("seconds_total", {}, value)]}]

    reports = [family(value) for value in values]
    cut %= len(values) + 1
    left: list[Family] = []
    for report in reports[:cut]:
        left = merge([left, lasting(report)])
    assert rounded(merge([left, *reports[cut:]])) == rounded(merge(reports))
    assert samples(rounded(merge(reports)))["seconds_total", frozenset()] == math.fsum(values)


def test_gauges_of_an_ended_process_go_and_its_counts_stay() -> None:
    server = Server()
    for process in server.processes:
        process.queue.set(5)
        process.calls.labels("OK").inc()
    assert samples(server.page())["digits_queue_images", frozenset()] == 15
    server.replace(0)
    now = samples(server.page())
    assert now["digits_queue_images", frozenset()] == 10
    assert now["calls_total", frozenset([("code", "OK")])] == 3


@pytest.mark.parametrize(("name", "merged"), [("process_start_time_seconds", 2), ("digits_model_load_seconds", 8)])
def test_a_gauge_is_merged_by_its_meaning(name: str, merged: float) -> None:
    def family(value: float) -> list[Family]:
        return [{"name": name, "help": "", "type": "gauge", "samples": [(name, {}, value)]}]

    assert samples(merge([family(2), family(8)])) == {(name, frozenset()): merged}


def test_two_versions_that_serve_during_a_reload_are_both_shown() -> None:
    def family(version: str) -> list[Family]:
        labels = {"model_version": version}
        return [
            {"name": "digits_model_info", "help": "", "type": "gauge", "samples": [("digits_model_info", labels, 1)]}
        ]

    page = samples(merge([family("1"), family("2"), family("2")]))
    assert {dict(labels)["model_version"]: value for (_, labels), value in page.items()} == {"1": 1, "2": 1}


@dataclass
class Counting:
    """A worker that counts by version, and forgets versions that left long ago."""

    counts: PredictionCounts = field(default_factory=lambda: PredictionCounts(CollectorRegistry()))
    report: list[Family] = field(default_factory=list)

    def renew(self) -> list[Family]:
        """Makes a new report. Returns the versions that it has forgotten since the last one."""
        before, self.report = self.report, to_families(self.counts.collect())
        return vanished(before, self.report)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 40), st.booleans()), max_size=80))
@example([(place, version, False) for version in range(1, 41) for place in (0, 1)])
@example([(version % 2, version, version > 20) for version in range(40, 0, -1)])
def test_versions_that_left_leave_the_page_whole_and_until_then_no_count_goes_down(
    events: list[tuple[int, int, bool]],
) -> None:
    workers = [Counting(), Counting()]
    left: list[Family] = []
    before: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for place, version, ends in events:
        worker = workers[place]
        worker.counts.add(version, np.array([version % 10], np.uint8), np.array([0.5], np.float32))
        worker.counts.keep({version})
        gone = worker.renew()
        if ends:
            gone = merge([gone, lasting(worker.report)])
            workers[place] = Counting()
        left = pruned(merge([left, gone]), [each.report for each in workers])
        now = samples(rounded(merge([*(each.report for each in workers), left])))
        assert all(now[key] >= value for key, value in before.items() if key in now)
        versions = {dict(labels)["model_version"] for _, labels in now}
        assert len(versions) <= 2 * (DEPARTED_VERSIONS + 1) + DEPARTED_VERSIONS
        before = now


def test_a_sum_that_is_nan_spoils_no_other_sample() -> None:
    def family(value: float) -> list[Family]:
        samples: list[Sample] = [("seconds_sum", {}, value), ("seconds_count", {}, 1.0)]
        return [{"name": "seconds", "help": "", "type": "histogram", "samples": samples}]

    page = samples(rounded(merge([lasting(family(math.nan)), family(1.0)])))
    assert math.isnan(page["seconds_sum", frozenset()])
    assert page["seconds_count", frozenset()] == 2


def test_how_each_gauge_of_the_server_is_merged_was_decided() -> None:
    gauges = {family.name for family in Metrics().registry.collect() if family.type == "gauge"}
    assert not gauges - GAUGES.keys(), "say in workers/merging.py how these gauges of several processes are one"
