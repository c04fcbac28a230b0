"""The proxy as it is shipped, in front of servers of this machine."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common.cores import on_cores
from benchmarks.common.paths import SCALING, SCRIPTS
from benchmarks.servers.running import DidNotStart, free_port
from deploy.envoy.on_this_machine import configuration

START_LIMIT = 30.0  # seconds until every server is found healthy
CORES = "0-1"
THREADS = 2


@contextmanager
def proxy(servers: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Its process and its port for gRPC, once it finds each (gRPC port, HTTP port) healthy."""
    first = free_port()
    ports = {"grpc": first, "web": first + 1, "admin": first + 2, "metrics": first + 2}
    shipped = configuration(servers, ports)
    listeners = shipped["static_resources"]["listeners"]
    listeners[:] = [each for each in listeners if each["name"] != "metrics"]  # as many ports as there are free ones
    path = SCALING.build / "envoy.json"
    path.write_text(json.dumps(shipped))
    flags = ["--disable-hot-restart", "--concurrency", str(THREADS)]
    command: list[str | Path] = [SCRIPTS / "envoy", "--config-path", path, *flags]
    with (SCALING.build / "envoy.log").open("wb") as log:
        process = subprocess.Popen(on_cores(CORES, command), stdout=log, stderr=log)
    try:
        _wait_healthy(ports["admin"], len(servers))
        yield process.pid, ports["grpc"]
    finally:
        process.kill()
        process.wait()


def _wait_healthy(admin: int, count: int) -> None:
    url = f"http://127.0.0.1:{admin}/stats?filter=^cluster.digits.membership_healthy$"
    begin = time.perf_counter()
    while time.perf_counter() - begin < START_LIMIT:
        try:
            with urllib.request.urlopen(url, timeout=1) as page:
                if page.read().decode().strip().endswith(f": {count}"):
                    return
        except (urllib.error.URLError, ConnectionError):
            pass  # it does not listen yet
        time.sleep(0.02)
    raise DidNotStart(f"Envoy found no {count} healthy servers in {START_LIMIT:.0f} s")
