"""Fixtures that many tests share: a really trained model, a server of it, the test set."""

import functools
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from support.servers.arrangements import server_process, transport_of
from support.servers.process import SCRIPTS, ServerProcess
from support.shared import made_once

from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from digits_training.data import read

settings.register_profile("digits", deadline=None)  # no timing is asserted
settings.load_profile("digits")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run tests/robustness in full length and record the figures")


PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy")


def pytest_configure() -> None:
    """Resets the settings that the programs under test would inherit from the shell that started the tests."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background commands ignore it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores this one
    os.umask(0o022)
    os.environ["LC_ALL"] = "C.UTF-8"
    for name in list(os.environ):
        if name.startswith("DIGITS_") or name.lower() in PROXIES:
            del os.environ[name]


LONGEST = (
    "test_fuzzed_models",
    "test_untrusted_configurations",
    "test_training_job",
    "test_keras_runtime",
    "test_training_importing",
    "test_main_job",
    "test_start_and_stop",
    "test_worker",
    "test_hostile_connections",
    "test_training_resumed",
    "test_models_c",
    "test_page",
    "test_training_runs",
    "test_untrusted_saved_models",
    "test_own_data",
    "test_refused_system_calls",
    "test_front_proxy",
    "test_bursts",
    "test_canary_and_shadow",
    "test_examples",
    "test_fuzzed_readers",
)
"""Beginnings of the names of the files that take a minute or more, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first: else one process is left with such a file when the others have ended."""

    @functools.cache
    def place(file: str) -> int:
        return next((at for at, name in enumerate(LONGEST) if file.startswith(name)), len(LONGEST))

    items.sort(key=lambda item: place(item.path.name))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints in red, at the very end, which tests were not run and why."""
    reasons = Counter(str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []))
    for reason, tests in reasons.items():
        terminalreporter.write_line(f"NOT RUN: {tests} tests: {reason.removeprefix('Skipped: ')}", red=True, bold=True)


@pytest.fixture(scope="session", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which training jobs of the tests leave the records of their runs."""
    folder = tmp_path_factory.mktemp("runs")
    os.environ["DIGITS_RUNS"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with version 1, the reference network, trained with the defaults.

    Read only: copy it to change it.
    """

    def train(root: Path) -> None:
        command: list[str | Path] = [SCRIPTS / "digits-train", "train", "--repository", root]
        subprocess.run(command, check=True, capture_output=True, timeout=250)

    return made_once(tmp_path_factory, "repository", train)


@pytest.fixture(scope="session")
def scored_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with version 1, a small cnn with unlike.tflite. Read only: copy it to change it."""

    def train(root: Path) -> None:
        mnist = read(None)
        train, test = mnist.train.take(np.arange(3000)), mnist.test.take(np.arange(1000))
        arrays = {"x_train": train.images, "y_train": train.labels, "x_test": test.images, "y_test": test.labels}
        np.savez(root / "small.npz", **arrays)  # type: ignore[arg-type]  # NumPy's stub takes no dict
        command: list[str | Path] = [SCRIPTS / "digits-train", "train", "--repository", root, "--network", "cnn"]
        few: list[str | Path] = ["--data", root / "small.npz", "--epochs", "2", "--min-accuracy", "0.3"]
        subprocess.run([*command, *few], check=True, capture_output=True, timeout=250)

    return made_once(tmp_path_factory, "scored-repository", train)


@pytest.fixture(scope="session")
def test_images() -> NDArray[np.uint8]:
    """The 10,000 test images of MNIST, uint8[10000, 28, 28]."""
    return read(None).test.images


@pytest.fixture(scope="session")
def test_labels() -> NDArray[np.uint8]:
    """Their labels, uint8[10000]."""
    return read(None).test.labels


@pytest.fixture(scope="module", autouse=True)
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """The transport of the servers under test: grpcio, or those that a module is marked with, also through Envoy."""
    name = str(getattr(request, "param", "auto"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIGITS_TRANSPORT", transport_of(name))
        yield name


@pytest.fixture(scope="module")
def server(repository: Path, transport: str) -> Iterator[ServerProcess]:
    """A ready server of version 1, one for each test module and transport."""
    with server_process(transport, "--repository", repository) as running:
        yield running.wait_ready()


@pytest.fixture
def stub(server: ServerProcess) -> Iterator[PredictionServiceStub]:
    """A plain gRPC stub, as in any caller's generated code."""
    with server.channel() as channel:
        yield PredictionServiceStub(channel)
