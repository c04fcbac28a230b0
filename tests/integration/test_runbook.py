"""docs/runbook.md is true: its commands run unchanged against a real server behind Envoy."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.models.repositories import copy_version
from support.needs import need
from support.network.certificates import Authority, Folder, Pair
from support.servers.front_proxy import front_proxy, ports_of
from support.servers.process import SCRIPTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = [
    (heading, line) for heading, text in SECTIONS for block in BLOCK.findall(text) for line in block.splitlines()
]
SECONDS = 60


@pytest.fixture(scope="module")
def shell(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of an operator: a server of two versions behind Envoy with TLS, files and log at hand."""
    need("jq", "openssl", "curl", "top")
    folder = tmp_path_factory.mktemp("operator")
    models = folder / "models"
    shutil.copytree(repository, models)
    copy_version(repository, models, 2)
    files = Folder(folder / "tls")
    authority = Authority()
    files.put(authority.sign(), authority)
    for name in ("tls.crt", "tls.key", "ca.crt"):
        shutil.copy(files.path / name, folder)
    put_new(folder, authority.sign())
    (folder / "docs").symlink_to(ROOT / "docs")
    watching = ("--transport", "native", "--poll-interval", "0.1", "--access-log")
    with (
        ServerProcess("--repository", models, *watching) as server,
        front_proxy(folder, [ports_of(server.wait_ready())], tls=files.path) as proxy,
        server.channel() as channel,
    ):
        PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=SECONDS)
        server.wait_for_log("call")
        (folder / "server.log").write_text("".join(server.stderr))
        says = dict(re.findall(r"(\w+)=(\S+)", BLOCK.findall(PAGE)[0].replace("export ", "")))
        of_test = {
            "HTTP": server.http,
            "DIGITS_TARGET": proxy.target,
            "DIGITS_REPOSITORY": str(models),
            "ADMIN": f"http://127.0.0.1:{proxy.admin}",
            "TLS": proxy.tls_target,
        }
        assert says.keys() == of_test.keys()
        yield {**os.environ, **of_test, "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "PWD": str(folder)}


def put_new(folder: Path, pair: Pair) -> None:
    (folder / "new.crt").write_bytes(pair.certificate)
    (folder / "new.key").write_bytes(pair.key)


@pytest.mark.parametrize("heading", [heading for heading, _ in SECTIONS])
def test_every_command_of_a_section_runs(heading: str, shell: dict[str, str]) -> None:
    commands = [command for section, command in COMMANDS if section == heading]
    assert commands
    Path(shell["DIGITS_REPOSITORY"], "digits", "pin.json").unlink(missing_ok=True)  # each section is read separately
    for command in commands:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],  # noqa: S607 - wherever the system has it
            cwd=shell["PWD"],
            env=shell,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert done.stdout or "||" in command or command.startswith(("mv ", "jq ")), command
