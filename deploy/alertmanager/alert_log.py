"""An example of a receiver of alerts: prints a line for each alert that Alertmanager sends to its webhook.

    python deploy/alertmanager/alert_log.py [HOST:PORT]    listens on 127.0.0.1:9095 by default

It needs only Python. It is for the network of compose, because every client that reaches the port can make it print.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

MAX_BYTES = 1024 * 1024
SECONDS = 10.0
"""The most time that a request may take to arrive."""


class AlertLog(BaseHTTPRequestHandler):
    """Takes Alertmanager's webhook: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config."""

    timeout = SECONDS

    def do_POST(self) -> None:
        try:
            lines = [line(alert) for alert in json.loads(self.body())["alerts"]]
        except (ValueError, LookupError, TypeError, AttributeError):
            self.send_error(400, "expected the JSON of an Alertmanager webhook, at most 1 MiB")
            return
        for each in lines:
            print(each, flush=True)
        self.send_response(204)
        self.end_headers()

    def body(self) -> bytes:
        size = int(self.headers.get("Content-Length", ""))
        if not 0 <= size <= MAX_BYTES:
            raise ValueError(size)
        return self.rfile.read(size)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is the library's
        """Requests are not logged; alerts are."""


def line(alert: dict[str, Any]) -> str:
    """`firing critical DigitsServerDown: server:8080 cannot be scraped`, always on one line."""
    labels, summary = alert["labels"], alert["annotations"].get("summary", "no summary")
    text = f"{alert['status']} {labels.get('severity', '-')} {labels['alertname']}: {summary}"
    return "".join(character if character.isprintable() else " " for character in text)


def main() -> None:
    host, _, port = (sys.argv[1:] or ["127.0.0.1:9095"])[0].rpartition(":")
    with HTTPServer((host, int(port)), AlertLog) as server:
        print(f"receiving alerts on {host}:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
