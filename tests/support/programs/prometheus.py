"""A real Prometheus for tests: Debian's, on a free port, with the shipped rules."""

import json
import queue
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.needs import need

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "rules"
START_SECONDS = 60.0
INTERVAL = "250ms"
"""Time between two scrapes, and between two evaluations of the rules."""


class PrometheusProcess:
    """Scrapes `targets` ("host:port") as the job "digits", storing in `folder`. As a context manager: listening.

    alertmanager  where alerts are sent, "host:port"

    It begins to scrape five seconds after its start, its own delay: share one among tests.
    """

    def __init__(self, targets: list[str], folder: Path, alertmanager: str | None = None) -> None:
        need("prometheus")
        config: dict[str, Any] = {
            "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL},
            "rule_files": [str(RULES / "*.yml")],
            "scrape_configs": [{"job_name": "digits", "static_configs": [{"targets": targets}]}],
        }
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
        file = folder / "prometheus.yml"
        file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        self._process = subprocess.Popen(
            [  # noqa: S607 - wherever Debian's package put it
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                "--enable-feature=exemplar-storage",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._addresses: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            self._url = "http://" + self._addresses.get(timeout=START_SECONDS)
            self._wait_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def get(self, path: str, **parameters: str) -> Any:
        """The data of one answer of Prometheus's own API (/api/v1)."""
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as reply:
            return json.load(reply)["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series of an instant query, now."""
        return [(item["metric"], float(item["value"][1])) for item in self.get("query", query=expression)["result"]]

    def value(self, expression: str) -> float | None:
        """The value of a query with one series; None if there is no series."""
        found = self.query(expression)
        assert len(found) <= 1, f"expected one series of {expression}, found {found}"
        return found[0][1] if found else None

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its state."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self._url}/-/ready", timeout=10):
                    return
            except OSError:
                assert time.monotonic() < deadline, "Prometheus does not get ready"
                time.sleep(0.02)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr
        self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            if found := re.search(r'"Listening on" address=(\S+)', line):
                self._addresses.put(found[1])


def selectors(expression: str) -> set[str]:
    """The series in an expression: our metrics, and those that the rules record, each with its label matchers."""
    names = r"(?:up|digits_\w+|grpc_server_\w+|process_\w+|job\w*:[\w:]+)"
    return set(re.findall(rf"(?<![\w:])({names}(?:\{{[^}}]*\}})?)", expression))
