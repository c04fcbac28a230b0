"""docs/open-inference.md is true: its examples run unchanged, and its tables agree with the code."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from support.calls.open_inference import CLIENTS
from support.servers.process import ServerProcess

from digits_server.open_inference.tensors import OUTPUTS
from digits_server.web.errors import STATUSES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/open-inference.md").read_text()
SECONDS = 60.0


def example(language: str, server: ServerProcess) -> str:
    text: str
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    here = text.replace("localhost:50051", server.target).replace("localhost:8080", server.http.removeprefix("http://"))
    assert here != text
    return here


@pytest.mark.parametrize("module", ["grpc", "http"])
def test_the_example_with_tritonclient_runs(server: ServerProcess, module: str) -> None:
    code = example("python", server)
    if module == "http":
        code = code.replace("tritonclient.grpc", "tritonclient.http").replace(server.target, server.http[7:])
    python = CLIENTS / "bin/python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\[1\] \[0\.\d+\]\n", done.stdout)


def test_the_commands_run(server: ServerProcess, tmp_path: Path) -> None:
    tmp_path.joinpath("docs").mkdir()
    tmp_path.joinpath("docs/digit.png").write_bytes((ROOT / "docs/digit.png").read_bytes())
    commands = "\necho\n".join(line.removeprefix("$ ") for line in example("console", server).splitlines())
    done = subprocess.run(
        ["/bin/sh", "-ec", commands], capture_output=True, text=True, timeout=SECONDS, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    metadata, answer = (json.loads(line) for line in done.stdout.splitlines() if line)
    assert metadata["name"] == "digits"
    assert answer["outputs"][0] == {"name": "digits", "datatype": "INT64", "shape": [1], "data": [7]}


def test_the_tables_are_those_of_the_code() -> None:
    for kind in OUTPUTS:
        shape = ", ".join("N" if size < 0 else str(size) for size in kind.shape)
        assert f"| `{kind.name}` | {kind.datatype} | [{shape}] |" in PAGE
    errors = PAGE[PAGE.index("## Errors") :]
    mentioned = set(map(int, re.findall(r"\| (\d{3})", errors)))
    assert mentioned == set(STATUSES.values())
