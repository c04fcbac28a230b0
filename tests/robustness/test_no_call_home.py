"""No part phones home: the whole job runs without a network, and nothing tries to reach one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.needs import need

ROOT = Path(__file__).parents[2]
ALONE = ["unshare", "--map-root-user", "--net", sys.executable, str(ROOT / "tests/support/network/offline.py")]


EPOCHS, EPOCHS_IN_FULL = 3, 10


def alone(*command: str | Path, epochs: int = EPOCHS) -> subprocess.CompletedProcess[str]:
    need("unshare")
    environment = os.environ | {"DIGITS_EPOCHS": str(epochs)}
    return subprocess.run([*ALONE, *command], capture_output=True, text=True, timeout=250, check=False, env=environment)


def test_training_serving_and_predicting_need_no_network(tmp_path: Path, *, full: bool) -> None:
    epochs = EPOCHS_IN_FULL if full else EPOCHS
    job = alone(sys.executable, ROOT / "deploy/local/main_job.py", "--repository", tmp_path, "--exit", epochs=epochs)
    assert job.returncode == 0, job.stderr
    assert f"epoch {epochs}/{epochs}" in job.stdout
    assert "Classified the 10,000 test images: accuracy 0.9" in job.stdout
    assert "The metrics count 10,000 predictions." in job.stdout


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])  # reserved for documentation
def test_an_attempt_to_leave_is_noticed(address: str) -> None:
    attempt = f"import socket; socket.create_connection(('{address}', 9), timeout=9)"
    assert alone(sys.executable, "-c", attempt).returncode == 99
