"""No part phones home: the whole job runs without a network, and nothing tries to reach one."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.needs import need

ROOT = Path(__file__).parents[2]
ALONE = ["unshare", "--map-root-user", "--net", sys.executable, str(ROOT / "tests/support/network/offline.py")]


def alone(*command: str | Path) -> subprocess.CompletedProcess[str]:
    need("unshare")
    return subprocess.run([*ALONE, *command], capture_output=True, text=True, timeout=250, check=False)


def test_training_serving_and_predicting_need_no_network(tmp_path: Path) -> None:
    job = alone(sys.executable, ROOT / "deploy/local/main_job.py", "--repository", tmp_path, "--exit")
    assert job.returncode == 0, job.stderr
    assert "epoch 10/10" in job.stdout
    assert "Classified the 10,000 test images: accuracy 0.9" in job.stdout
    assert "The metrics count 10,000 predictions." in job.stdout


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])  # reserved for documentation
def test_an_attempt_to_leave_is_noticed(address: str) -> None:
    attempt = f"import socket; socket.create_connection(('{address}', 9), timeout=9)"
    assert alone(sys.executable, "-c", attempt).returncode == 99
