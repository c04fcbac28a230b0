"""The main job on one machine: train on MNIST if no model is published, serve it, classify the test set, keep serving.

    python deploy/local/main_job.py [--repository DIR] [--network NAME] [--exit] [--behind-envoy]

Ports come from DIGITS_GRPC_PORT and DIGITS_HTTP_PORT. Behind Envoy these are the server's own, and Envoy's come from
DIGITS_ENVOY_PORTS, such as "grpc=50052 web=8081". Exit code 0 when the accuracy through the client equals the
manifest's and the metrics account for every prediction; 1, with the reason in one line, otherwise.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from trainer import CannotInstall, discard, trainer

from digits_client import Client, DigitsError
from digits_training.data import read
from digits_training.repository import manifest
from digits_training.repository.served import PinError, served_version
from digits_training.settings import MODEL_NAME
from digits_training.settings.networks import NETWORKS

SCRIPTS = Path(sysconfig.get_path("scripts"))
HOST = "127.0.0.1"
GRPC_PORT = int(os.environ.get("DIGITS_GRPC_PORT", "50051"))
HTTP_PORT = int(os.environ.get("DIGITS_HTTP_PORT", "8080"))
DIGIT = Path(__file__).parents[2] / "docs/digit.png"
"""A picture to call the server with."""

READY_SECONDS = 60.0
STOP_SECONDS = 40.0
CLOCK_SECONDS = 2.0
"""The most by which the start of a process, as reported by the system, can differ from the clock."""


ENVOY = Path(__file__).parents[1] / "envoy" / "on_this_machine.py"
ENVOY_PORTS = os.environ.get("DIGITS_ENVOY_PORTS", "grpc=50052").split()


class JobFailed(Exception):
    """The job failed; the message is one sentence for the user."""


def require_free_ports(*, behind_envoy: bool) -> None:
    """Raises JobFailed if another program has a port: we would take its answers for those of our server."""
    ports = {"DIGITS_GRPC_PORT": GRPC_PORT, "DIGITS_HTTP_PORT": HTTP_PORT}
    if behind_envoy:
        ports |= {f"{name} in DIGITS_ENVOY_PORTS": int(port) for name, port in envoy_ports().items()}
    for name, port in ports.items():
        try:
            socket.create_server((HOST, port)).close()
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise JobFailed(
                f"port {port} cannot be used ({reason}): end the program that has it, or set {name} to a free port"
            ) from error


def envoy_ports() -> dict[str, str]:
    """Envoy's ports by their names."""
    return dict(each.split("=") for each in ENVOY_PORTS)


def train(repository: Path, network: str | None) -> None:
    """Trains `network`, or the default one, unless it is what a server would serve already."""
    served = served_network(repository / MODEL_NAME)
    if served is not None and network in {None, served}:
        print(f"{repository} already has a model; not training again")
        discard()
        return
    flags = ["--unless-published"] if network is None else ["--network", network]
    try:
        with trainer() as digits_train:
            ended = subprocess.run([*digits_train, "train", "--repository", repository, *flags], check=False)
    except CannotInstall as error:
        raise JobFailed(str(error)) from error
    if ended.returncode:
        raise JobFailed("the training job failed")


def served_network(model_folder: Path) -> str | None:
    """The network of the version that a server would serve; None if there is no version."""
    try:
        version = served_version(model_folder)
    except PinError as error:
        raise JobFailed(str(error)) from error
    return None if version is None else manifest.read(model_folder / str(version)).training.network


@contextmanager
def serving(repository: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server on the two ports; stopped by SIGTERM at the end."""
    command: list[str | Path] = [SCRIPTS / "digits-server", "--repository", repository, "--host", HOST]
    with running([*command, "--grpc-port", str(GRPC_PORT), "--http-port", str(HTTP_PORT)]) as server:
        yield server


@contextmanager
def in_front(
    server: subprocess.Popen[bytes], *, behind_envoy: bool
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address to call, and the processes that must run: the server, and perhaps Envoy, stopped by SIGTERM."""
    if not behind_envoy:
        yield f"{HOST}:{GRPC_PORT}", [server]
        return
    ports = envoy_ports()
    flags = [f"--port={name}={port}" for name, port in ports.items()]
    with running([sys.executable, ENVOY, f"{GRPC_PORT}:{HTTP_PORT}", *flags]) as envoy:
        yield f"{HOST}:{ports['grpc']}", [server, envoy]


@contextmanager
def running(command: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def wait_ready(client: Client, processes: list[subprocess.Popen[bytes]]) -> None:
    for _ in range(round(READY_SECONDS)):
        if any(process.poll() is not None for process in processes):
            raise JobFailed("the server or Envoy did not start; the lines above say why")
        try:
            client.wait_ready(1.0)
        except DigitsError as error:
            last = error
        else:
            return
    raise JobFailed(f"the server was not ready within {READY_SECONDS:.0f} seconds: {last}")


def require_ours(started: float) -> None:
    """Raises JobFailed if the server that answers ran before `started`, in seconds since 1970: it is not ours."""
    begun = metric("process_start_time_seconds")
    if begun is not None and begun < started - CLOCK_SECONDS:
        raise JobFailed(f"another server answers on port {HTTP_PORT}: end it, or set DIGITS_HTTP_PORT to a free port")


def counted_predictions() -> int:
    """The number of images that the server has answered, from its metrics."""
    return round(metric("digits_predictions_total") or 0)


def metric(name: str) -> float | None:
    """The sum of the server's samples with this name; None if there is no such sample."""
    with urllib.request.urlopen(f"http://{HOST}:{HTTP_PORT}/metrics", timeout=10) as page:  # nosec B310
        families = text_string_to_metric_families(page.read().decode())
    values = [sample.value for family in families for sample in family.samples if sample.name == name]
    return sum(values) if values else None


def classify_test_set(client: Client) -> None:
    """Predicts every test image, and compares the result with the manifest and the metrics."""
    test = read(None).test
    before = counted_predictions()
    predictions = client.predict_batch(test.images)
    accuracy = float((predictions.digits == test.labels).mean())
    counted = counted_predictions() - before
    served = client.model().manifest
    print(f"Classified the {len(test.images):,} test images: accuracy {accuracy:.4f}", end="; ")
    print(f"the manifest of version {served.model_version} says {served.metrics.test_accuracy:.4f}.")
    print(f"The metrics count {counted:,} predictions.")
    if counted != len(test.images):
        raise JobFailed(f"expected the metrics to count {len(test.images)} predictions, not {counted}")
    if abs(accuracy - served.metrics.test_accuracy) > 1e-9:
        raise JobFailed("the accuracy through the client differs from the manifest")
    if served.training.network == "mlp":
        print("This is the mlp, which trains in seconds. A better network, in a few minutes: make run NETWORK=cnn")


def print_how_to_call(target: str) -> None:
    digits, python, digit = map(shown, (SCRIPTS / "digits", SCRIPTS / "python", DIGIT))
    print(
        f"""
Draw a digit: http://{HOST}:{HTTP_PORT}/ (beside it /metrics and /readyz)

Call {target} (gRPC) on the command line, or from Python:

    {digits} predict {digit} --target {target}
    {python} -c 'from digits_client import Client; print(Client("{target}").predict("{digit}"))'
"""
    )


def shown(path: Path) -> Path:
    """A path relative to the current folder, for typing."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def run(repository: Path, network: str | None, *, keep_serving: bool, behind_envoy: bool) -> None:
    require_free_ports(behind_envoy=behind_envoy)
    train(repository, network)
    started = time.time()
    with (
        serving(repository) as server,
        in_front(server, behind_envoy=behind_envoy) as (target, processes),
        Client(target) as client,
    ):
        wait_ready(client, processes)
        require_ours(started)
        classify_test_set(client)
        print_how_to_call(target)
        if keep_serving:
            print("Serving until you press Ctrl-C.", flush=True)
            server.wait()


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # in step with the server's log lines
    parser = argparse.ArgumentParser(description="Train if needed, serve, classify the test set, keep serving.")
    parser.add_argument("--repository", type=Path, default=Path("models"), help="model repository (default: models)")
    parser.add_argument(
        "--network",
        choices=NETWORKS,
        help="train this network, unless the served version already has it (default: mlp if nothing is published)",
    )
    parser.add_argument("--exit", action="store_true", help="stop the server and exit after the test set")
    parser.add_argument("--behind-envoy", action="store_true", help="put Envoy in front of the server, and call Envoy")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(chosen.repository, chosen.network, keep_serving=not chosen.exit, behind_envoy=chosen.behind_envoy)
    except (JobFailed, DigitsError) as error:
        print(f"main job: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
