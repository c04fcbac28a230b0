"""A real Alertmanager for tests: Debian's, on a free port, with the configuration we ship; and what gets its alerts."""

import queue
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.needs import need
from support.network.ports import free_port
from support.waiting import until

DEPLOY = Path(__file__).parents[3] / "deploy" / "alertmanager"
STOP_SECONDS = 30.0
START_SECONDS = 60.0


class AlertLog:
    """The example receiver, as a process: `lines` is its output."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.lines: list[str] = []
        self._addresses: queue.Queue[str] = queue.Queue()
        self._output = process.stdout
        threading.Thread(target=self._read, daemon=True).start()
        self.address = self._addresses.get(timeout=START_SECONDS)

    def _read(self) -> None:
        assert self._output
        self._addresses.put(self._output.readline().split()[-1])
        for line in self._output:
            self.lines.append(line.rstrip("\n"))


@contextmanager
def alert_log() -> Iterator[AlertLog]:
    command: list[str | Path] = [sys.executable, DEPLOY / "alert_log.py", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield AlertLog(process)
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


@contextmanager
def alertmanager(folder: Path, receiver: str) -> Iterator[str]:
    """Its address. It sends alerts to `receiver` ("host:port") at once, without its usual wait of ten seconds."""
    need("prometheus-alertmanager")
    shipped = (DEPLOY / "alertmanager.yml").read_text()
    changed = shipped.replace("alert-log:9095", receiver).replace("group_wait: 10s", "group_wait: 100ms")
    (folder / "alertmanager.yml").write_text(changed)
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus-alertmanager",
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with (folder / "alertmanager.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(lambda: _is_ready(address), "Alertmanager is ready", START_SECONDS)
            yield address
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5) as page:
            return bool(page.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
