"""docs/examples/notebook.ipynb runs from its first cell to its last: it trains, serves, predicts and plots."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.needs import need

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/examples/notebook.ipynb"
EXECUTE = ROOT / ".venv/notebook/bin/jupyter-execute"
SECONDS = 240
"""Deadline for all cells together."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The outputs of each cell, by the id of the cell."""
    need(str(EXECUTE), target="notebook")
    folder = tmp_path_factory.mktemp("notebook")
    run: list[str | Path] = [EXECUTE, NOTEBOOK, "--output", folder / "run.ipynb"]
    environment = {**os.environ, "TMPDIR": str(folder), "IPYTHONDIR": str(folder), "JUPYTER_PLATFORM_DIRS": "1"}
    ended = subprocess.run(run, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    cells = json.loads((folder / "run.ipynb").read_text())["cells"]
    return {cell["id"]: cell.get("outputs", []) for cell in cells}


def test_the_notebook_trains_a_version_and_serves_it(outputs: dict[str, list[dict[str, Any]]]) -> None:
    assert "model.tflite" in outputs["training"][-1]["data"]["text/plain"][0]
    assert re.match(r"'version 1, 9\d\.\d% of the test images'", outputs["serving"][-1]["data"]["text/plain"][0])
    assert outputs["stopping"][-1]["data"]["text/plain"] == ["0"]


def test_the_notebook_predicts_the_test_set_as_the_manifest_says(outputs: dict[str, list[dict[str, Any]]]) -> None:
    (printed,) = outputs["predicting"]
    predicted = re.fullmatch(r"10,000 images, (\S+) correct\n", "".join(printed["text"]))
    assert predicted
    assert f", {predicted[1]} of" in outputs["serving"][-1]["data"]["text/plain"][0]


def test_the_notebook_plots(outputs: dict[str, list[dict[str, Any]]]) -> None:
    for cell in ("mistakes", "calibration"):
        assert "image/png" in outputs[cell][-1]["data"]


def test_the_notebook_is_kept_without_outputs() -> None:
    """Outputs would become outdated, and every run would change the file."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 7
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
