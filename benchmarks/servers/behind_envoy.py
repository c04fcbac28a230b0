"""A server with the shipped Envoy in front of it, as one command: `PORT HTTP_PORT COMMAND…`.

Callers connect to PORT, which is Envoy's. COMMAND is the server's, without its ports. Envoy has one thread, as it has
beside one server (deploy/envoy/on_this_machine.py).
"""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.envoy.on_this_machine import command, written

STOP_SECONDS = 10.0


def main() -> int:
    port, http_port, server_command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    grpc_port, admin = port + 3, port + 4  # after the three ports that a server uses
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with tempfile.TemporaryDirectory() as folder:
        ports = {"grpc": port, "admin": admin}
        configuration = written(Path(folder), [(grpc_port, http_port)], ports, host="127.0.0.1", tls=None)
        behind = [*server_command, "--grpc-port", str(grpc_port), "--http-port", str(http_port)]
        processes = [subprocess.Popen(each, preexec_fn=_unblocked) for each in (behind, command(configuration))]  # noqa: PLW1509 - no thread exists yet
        signal.sigwait(stops)
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(STOP_SECONDS)
    return 0


def _unblocked() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    sys.exit(main())
