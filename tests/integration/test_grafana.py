"""The shipped Grafana dashboard shows a live server: every panel has data, and Grafana can lay out the page."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.calls.rpc import DEADLINE, refusal
from support.programs.prometheus import PrometheusProcess
from support.servers.process import ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "digits.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def prometheus(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    targets = [server.http.removeprefix("http://")]
    with PrometheusProcess(targets, tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def filled_in(query: str) -> str:
    """The query as Grafana sends it, with everything at the top of the page chosen."""
    chosen = {"$job": "digits", "$instance": ".*", "$__rate_interval": "10s"}
    for variable, value in chosen.items():
        query = query.replace(variable, value)
    assert "$" not in query
    return query


def test_every_query_of_every_panel_finds_data_in_a_live_server(
    stub: PredictionServiceStub, prometheus: PrometheusProcess, test_images: NDArray[np.uint8]
) -> None:
    queries = {target["expr"]: panel["title"] for panel in PANELS for target in panel["targets"]}
    assert len(queries) > 20

    def all_found() -> bool:
        stub.Predict(PredictRequest(images=test_images[:500].tobytes()), timeout=DEADLINE)
        refusal(lambda: stub.Predict(PredictRequest(images=b"?"), timeout=DEADLINE))
        for query in [query for query in queries if prometheus.query(filled_in(query))]:
            del queries[query]
        return not queries

    until(all_found, f"data for {queries}")


def test_every_legend_names_labels_that_its_query_keeps(prometheus: PrometheusProcess) -> None:
    until(lambda: bool(prometheus.query("digits_model_info")), "Prometheus has scraped the server")
    found = 0
    for panel in PANELS:
        for target in panel["targets"]:
            labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            for series, _ in prometheus.query(filled_in(target["expr"])):
                assert labels <= set(series), f"{panel['title']}: {target['legendFormat']}"
                found += 1
    assert found


def test_the_choices_at_the_top_come_from_prometheus(prometheus: PrometheusProcess) -> None:
    source, *others = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"]) == ("datasource", "datasource")
    for variable in others:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert found, variable["query"]
        assert all(found[2] in series for series, _ in prometheus.query(filled_in(found[1])))
        assert prometheus.query(filled_in(found[1]))


def test_the_page_can_be_laid_out() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        covered = {
            (place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])
        }
        assert not covered & cells, f"{panel['title']} lies over another panel"
        cells |= covered
    for panel in PANELS:
        assert panel["type"] in {"timeseries", "heatmap", "stat", "state-timeline"}
        assert panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)
