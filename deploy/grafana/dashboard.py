"""Writes dashboards/digits.json, the Grafana dashboard of the server.

    python deploy/grafana/dashboard.py            writes it
    python deploy/grafana/dashboard.py --check    fails when the committed file is another one

The panels stand below in the order of the page, a row of them after the other. `ON` limits an expression to the servers
chosen at the top of the page.
"""

import json
import sys
from itertools import count
from pathlib import Path
from typing import Any

from panels import Panel, heatmap, stat, state_timeline, timeseries

FILE = Path(__file__).parent / "dashboards" / "digits.json"

ON = 'job="$job", instance=~"$instance"'
WORK = ON + ', grpc_service!~"grpc[.].*"'  # calls that predict: no health checks, no reflection
PREDICT = ON + ', grpc_method=~"Predict|ModelInfer"'
OVER = "[$__rate_interval]"
VERSION = "version {{model_version}}"

Rows = dict[str, list[Panel]]


def rows() -> Rows:
    """The panels by row; a row is as wide as its panels together, 24 columns at most."""
    return {
        "Now": [
            stat("Servers up", f"sum(up{{{ON}}})"),
            stat("Version that serves", f"max by (model_version) (digits_model_info{{{ON}}})", label="model_version"),
            stat("Calls", f"sum(rate(grpc_server_handled_total{{{WORK}}}{OVER}))", unit="reqps"),
            stat("Images", f"sum(rate(digits_predictions_total{{{ON}}}{OVER}))", unit="img/s"),
            stat(
                "Share of calls that failed because of the server",
                'max(job:grpc_server_errors:ratio_rate5m{job="$job"})',
                unit="percentunit",
                limit=0.01,
            ),
            stat(
                "99th percentile of Predict",
                'max(job_method:grpc_server_handling_seconds:p99_rate5m{job="$job", grpc_method="Predict"})',
                unit="s",
                limit=0.1,
            ),
        ],
        "Traffic and errors": [
            timeseries(
                "Calls by method",
                {"{{grpc_method}}": f"sum by (grpc_method) (rate(grpc_server_handled_total{{{WORK}}}{OVER}))"},
                unit="reqps",
            ),
            timeseries(
                "Calls that failed, by status",
                {
                    "{{grpc_code}}": "sum by (grpc_code) "
                    f'(rate(grpc_server_handled_total{{{WORK}, grpc_code!="OK"}}{OVER})) > 0'
                },
                unit="reqps",
            ),
            timeseries(
                "Requests refused, by reason",
                {"{{reason}}": f"sum by (reason) (rate(digits_rejected_total{{{ON}}}{OVER})) > 0"},
                unit="reqps",
            ),
            timeseries(
                "Calls that gRPC itself refused, by reason",
                {"{{reason}}": f"sum by (reason) (rate(digits_grpc_refused_total{{{ON}}}{OVER}))"},
                unit="reqps",
            ),
        ],
        "Latency": [
            heatmap(
                "Predict",
                f"sum by (le) (increase(grpc_server_handling_seconds_bucket{{{PREDICT}}}{OVER}))",
                unit="s",
            ),
            timeseries(
                "Predict, percentiles",
                {
                    f"{percent} %": f"histogram_quantile({percent / 100}, "
                    f"sum by (le) (rate(grpc_server_handling_seconds_bucket{{{PREDICT}}}{OVER})))"
                    for percent in (50, 95, 99)
                },
                unit="s",
            ),
            timeseries(
                "Where the time goes, 99th percentile",
                {
                    name: f"histogram_quantile(0.99, sum by (le) (rate(digits_{metric}_seconds_bucket{{{ON}}}{OVER})))"
                    for name, metric in (("a request in the queue", "queue"), ("a batch in the model", "inference"))
                },
                unit="s",
            ),
        ],
        "Queue and batches": [
            timeseries(
                "Images that wait",
                {
                    "{{instance}}": f"digits_queue_images{{{ON}}}",
                    "limit of {{instance}}": f"digits_queue_limit_images{{{ON}}}",
                },
            ),
            heatmap("Batch size, images", f"sum by (le) (increase(digits_batch_size_bucket{{{ON}}}{OVER}))"),
            timeseries(
                "Mean batch size, images",
                {
                    "{{instance}}": f"sum by (instance) (rate(digits_batch_size_sum{{{ON}}}{OVER})) "
                    f"/ sum by (instance) (rate(digits_batch_size_count{{{ON}}}{OVER}))"
                },
            ),
        ],
        "Saturation": [
            timeseries(
                "Share of the time in the model",
                {"{{instance}}": f"sum by (instance) (rate(digits_inference_seconds_sum{{{ON}}}{OVER}))"},
                unit="percentunit",
            ),
            timeseries(
                "CPU, cores",
                {"{{instance}}": f"sum by (instance) (rate(process_cpu_seconds_total{{{ON}}}{OVER}))"},
            ),
            timeseries("Resident memory", {"{{instance}}": f"process_resident_memory_bytes{{{ON}}}"}, unit="bytes"),
            timeseries(
                "File descriptors in use",
                {"{{instance}}": f"process_open_fds{{{ON}}} / process_max_fds{{{ON}}}"},
                unit="percentunit",
            ),
        ],
        "Model": [
            state_timeline(
                "Versions that serve",
                {
                    "{{instance}}: version {{model_version}}": "max by (instance, model_version) "
                    f"(digits_model_info{{{ON}}})"
                },
                {1: "serves"},
            ),
            timeseries(
                "Versions rejected, by reason",
                {"{{reason}}": f"sum by (reason) (digits_model_load_failures_total{{{ON}}})"},
            ),
            timeseries(
                "Time to load the version that serves", {"{{instance}}": f"digits_model_load_seconds{{{ON}}}"}, unit="s"
            ),
        ],
        "By version": [
            timeseries(
                "Requests answered",
                {VERSION: f"sum by (model_version) (rate(digits_version_request_seconds_count{{{ON}}}{OVER}))"},
                unit="reqps",
            ),
            *(
                timeseries(title, {VERSION: f'job_model_version:digits_version_{rule}15m{{job="$job"}}'}, unit=unit)
                for title, rule, unit in (
                    ("Requests that failed because of the server", "failures:ratio", "percentunit"),
                    ("Mean time of a request", "request_seconds:mean", "s"),
                    ("Mean confidence of an image", "confidence:mean", "percentunit"),
                )
            ),
        ],
        "Digits and confidence": [
            timeseries(
                "Digits answered",
                {"{{digit}}": f"sum by (digit) (rate(digits_predictions_total{{{ON}}}{OVER}))"},
                unit="img/s",
                stacked=True,
            ),
            timeseries(
                "Distance of an hour's digits from the training set's",
                {"distance": 'job:digits_predictions:drift1h{job="$job"}'},
                unit="percentunit",
                limit=0.15,
            ),
            heatmap("Confidence", f"sum by (le) (increase(digits_prediction_confidence_bucket{{{ON}}}{OVER}))"),
            timeseries(
                "Mean confidence",
                {
                    "{{instance}}": f"sum by (instance) (rate(digits_prediction_confidence_sum{{{ON}}}{OVER})) "
                    f"/ sum by (instance) (rate(digits_prediction_confidence_count{{{ON}}}{OVER}))"
                },
                unit="percentunit",
            ),
        ],
    }


def page() -> dict[str, Any]:
    """The whole page as Grafana reads it."""
    return {
        "uid": "digits",
        "title": "Digits",
        "tags": ["digits"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables()},
        "panels": list(laid_out(rows())),
    }


def variables() -> list[dict[str, Any]]:
    """What is chosen at the top of the page: the Prometheus, the job, the servers."""

    def labels(name: str, title: str, query: str, **more: Any) -> dict[str, Any]:
        source = {"type": "prometheus", "uid": "${datasource}"}
        return {
            "type": "query",
            "name": name,
            "label": title,
            "datasource": source,
            "query": query,
            "refresh": 2,
        } | more

    return [
        {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus"},
        labels("job", "Job", "label_values(digits_queue_images, job)"),
        labels(
            "instance",
            "Servers",
            'label_values(digits_queue_images{job="$job"}, instance)',
            multi=True,
            includeAll=True,
        ),
    ]


def laid_out(page: Rows) -> list[dict[str, Any]]:
    """The panels with their places and numbers."""
    numbers, placed, top = count(1), [], 0
    for title, panels in page.items():
        placed.append({"id": next(numbers), "type": "row", "title": title, "collapsed": False, "panels": []})
        placed[-1]["gridPos"] = {"x": 0, "y": top, "w": 24, "h": 1}
        top += 1
        width, height = 24 // len(panels), panels[0]["gridPos"]["h"]
        for place, panel in enumerate(panels):
            position = {"x": place * width, "y": top, "w": width, "h": height}
            placed.append(panel | {"id": next(numbers), "gridPos": position})
        top += height
    return placed


def main() -> int:
    text = json.dumps(page(), indent=2, ensure_ascii=False) + "\n"
    if "--check" in sys.argv[1:]:
        if FILE.read_text(encoding="utf-8") != text:
            print(f"{FILE.name} is not what {Path(__file__).name} writes: run make dashboard")
            return 1
        return 0
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
