"""The promises of the two images, tested in containers with the same restrictions as in the compose file.

Not part of `make test`: it needs a container engine. `make test-compose` runs it.
"""

import json
from collections.abc import Iterator
from uuid import uuid4

import pytest
from support.programs.compose import BUILD_SECONDS, UP_SECONDS, Stack
from support.programs.engine import attempt, docker, inspect, require_engine
from support.waiting import until

pytestmark = pytest.mark.timeout(BUILD_SECONDS + UP_SECONDS)

BASE = "python:3.11-slim-bookworm"
IMAGES = ("digits-server", "digits-training")
MOST_SERVER_BYTES = 250_000_000
"""Largest size that the server's image may add to its base."""
LOCKED_UP = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true", "--network=none")
NO_SHELL = tuple(f"--volume=/dev/null:/usr/bin/{shell}:ro" for shell in ("dash", "bash"))


@pytest.fixture(scope="module", autouse=True)
def _images() -> None:
    require_engine()
    Stack().compose("build", "train", "server", seconds=BUILD_SECONDS)


@pytest.fixture(scope="module")
def volume() -> Iterator[str]:
    """A volume with one version, trained by the image without network and without other writable folders."""
    name = docker("volume", "create")
    try:
        docker("run", "--rm", *LOCKED_UP, f"--volume={name}:/models", "digits-training", seconds=UP_SECONDS)
        yield name
    finally:
        docker("volume", "rm", name)


@pytest.fixture
def container() -> Iterator[str]:
    """A name for a container, which is removed at the end."""
    name = f"digits-test-{uuid4().hex[:8]}"
    yield name
    attempt("rm", "--force", "--volumes", name)


def imports(image: str, module: str) -> bool:
    run = ("run", "--rm", "--network=none", "--entrypoint=python", image)
    return attempt(*run, "-c", f"import {module}").returncode == 0


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_describes_itself_and_runs_as_any_user(image: str) -> None:
    config = inspect(image)["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == image
    assert labels["licenses"] == "Apache-2.0"
    assert labels.keys() >= {"description", "version", "revision", "base.name"}
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert "Healthcheck" in config


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_cannot_install_anything(image: str) -> None:
    assert not imports(image, "pip")


def test_the_server_image_holds_no_tensorflow_and_adds_less_than_250_mb_to_its_base() -> None:
    assert inspect("digits-server")["Size"] - inspect(BASE)["Size"] < MOST_SERVER_BYTES
    assert imports("digits-server", "ai_edge_litert")
    assert not imports("digits-server", "tensorflow")


@pytest.mark.parametrize(
    ("image", "module"),
    [
        ("digits-server", "cryptography"),  # --require-signature
        ("digits-server", "opentelemetry.exporter.otlp.proto.grpc"),  # --tracing-endpoint
        ("digits-training", "cryptography"),  # --sign-key
    ],
)
def test_an_image_has_what_the_documented_settings_need(image: str, module: str) -> None:
    assert imports(image, module)


def test_the_training_image_leaves_versions_in_its_volume_and_no_litter(volume: str) -> None:
    listing = "import json, os; print(json.dumps([os.listdir('/models'), os.listdir('/models/digits')]))"
    read = ("run", "--rm", f"--volume={volume}:/models:ro", "--entrypoint=python", "digits-training", "-c", listing)
    assert json.loads(docker(*read)) == [["digits"], ["1"]]


def test_training_stopped_as_the_first_process_saves_its_state_and_resumes_from_it(container: str) -> None:
    run = (*LOCKED_UP, f"--name={container}", "digits-training", "train", "--epochs=200")
    docker("run", "--detach", *run)
    until(lambda: "2/200" in docker("logs", container), "two epochs are trained", UP_SECONDS)
    docker("stop", "--time=30", container)
    assert inspect(container)["State"]["ExitCode"] == 143
    docker("start", container)
    until(lambda: "resuming after" in docker("logs", container), "training goes on from the state it saved", UP_SECONDS)


def test_the_health_check_knows_the_flags_and_the_variables_of_its_server(volume: str, container: str) -> None:
    told = ("--env=DIGITS_HTTP_PORT=", f"--name={container}", "digits-server", "--http-port=9000", "--host=127.0.0.2")
    docker("run", "--detach", *LOCKED_UP, f"--volume={volume}:/models:ro", *told)
    until(lambda: inspect(container)["State"]["Health"]["Status"] == "healthy", "the server is healthy", 60)


def test_the_server_needs_no_shell_turns_healthy_and_exits_0_on_sigterm(volume: str, container: str) -> None:
    run = (*LOCKED_UP, *NO_SHELL, f"--volume={volume}:/models:ro", f"--name={container}", "digits-server")
    docker("run", "--detach", *run)
    until(lambda: inspect(container)["State"]["Health"]["Status"] == "healthy", "the server is healthy", 60)
    assert attempt("exec", container, "sh", "-c", "true").returncode != 0
    docker("stop", "--time=30", container)
    assert inspect(container)["State"]["ExitCode"] == 0
