"""docs/own-data.md typed from top to bottom: a CSV file, a model, two others, the better one served and rolled back."""

import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.network.ports import free_port
from support.servers.process import SCRIPTS, START_SECONDS
from support.waiting import until

from digits_client import Client

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/own-data.md").read_text()
SERVER = "digits-server --repository mine"
SECONDS = 240
"""Deadline of one command."""


class Reader:
    """A reader who types the commands of the page, in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        grpc, http = free_port(), free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DIGITS_RUNS"},
            "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
            "DIGITS_GRPC_PORT": str(grpc),
            "DIGITS_HTTP_PORT": str(http),
            "DIGITS_TARGET": f"127.0.0.1:{grpc}",
        }
        self.page = f"http://127.0.0.1:{http}/"
        self.server: subprocess.Popen[bytes] | None = None

    def type(self, line: str) -> str:
        """The output of a command, which must succeed."""
        if line == SERVER:
            self.server = subprocess.Popen(line.split(), cwd=self.folder, env=self.environment)
            until(self._serves, "the server serves", START_SECONDS)
            return ""
        done = self._run(line)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def _serves(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(self.page + "readyz", timeout=SECONDS):
            return True
        return False

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", "-c", line],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            cwd=self.folder,
            env=self.environment,
        )


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "make_csv.py").write_text(code)
    shutil.copyfile(ROOT / "docs/digit.png", tmp_path / "digit.png")
    reader = Reader(tmp_path)
    yield reader
    if reader.server:
        reader.server.terminate()
        reader.server.wait(START_SECONDS)


def test_the_page_leads_from_a_csv_file_to_a_served_model_and_back(reader: Reader) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    said = {line: reader.type(line) for block in blocks for line in block.splitlines()}

    accuracies = re.findall(r"not published +(0\.\d+)", said["digits-train runs"])
    assert len(accuracies) == 2
    assert re.search(r"version 1 +0\.\d+", said["digits-train runs"])
    (published,) = re.findall(r"test set: accuracy (0\.\d+)", list(said.values())[4])
    assert published == max(accuracies)
    assert re.search(r"\b7\b", said["digits predict digit.png"])
    assert re.search(r"^model .* version 2,", said["digits info"])
    assert re.search(r"^1 .*current", said["digits-server models list --repository mine"], re.MULTILINE)
    with Client(reader.environment["DIGITS_TARGET"]) as client:  # a command takes long to start
        until(lambda: client.model().manifest.model_version == 1, "version 1 answers again", pause=0.1)
    assert re.search(r"^model .* version 1,", reader.type("digits info"))
