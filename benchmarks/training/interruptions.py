"""Kills a training run again and again at random moments, by turns with SIGTERM and SIGKILL, until it gets through.

Prints where each process ended, which files it left, and how the accuracy compares with an undisturbed run.

    .venv/bin/python -m benchmarks.training.interruptions --kills 20
"""

import argparse
import random
import signal
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from digits_training.repository import manifest

DIGITS_TRAIN = Path(sysconfig.get_path("scripts")) / "digits-train"


def start(repository: Path, epochs: int) -> subprocess.Popen[str]:
    command = [str(DIGITS_TRAIN), "train", "--repository", str(repository), "--epochs", str(epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    epochs = 10 + 2 * arguments.kills  # so that there is always something left to interrupt

    with tempfile.TemporaryDirectory() as folder:
        calm, disturbed = Path(folder) / "calm", Path(folder) / "disturbed"
        start(calm, epochs).communicate()
        lives = 0
        for kill in range(arguments.kills):
            process = start(disturbed, epochs)
            lines = iter(process.stdout or ())
            reached = next((line for line in lines if line.startswith("epoch")), "no epoch")
            asked = signal.SIGTERM if kill % 2 else signal.SIGKILL
            try:
                process.communicate(timeout=moments.uniform(0, 1.5))  # seconds: a few epochs
            except subprocess.TimeoutExpired:
                process.send_signal(asked)
                process.communicate()
                lives += 1
            left = sorted(path.name for path in (disturbed / "digits").iterdir())
            where = reached.split("  loss")[0]
            print(f"{asked.name} some time after {where}: exit code {process.returncode}, left {left}", flush=True)
            if "1" in left:
                break
        if "1" not in left:
            start(disturbed, epochs).communicate()
        left = sorted(path.name for path in (disturbed / "digits").iterdir())
        without, with_kills = (manifest.read(root / "digits/1").metrics.test_accuracy for root in (calm, disturbed))
        print(f"{lives} interruptions; left in the end: {left}")
        print(f"test accuracy {without:.4f} undisturbed, {with_kills:.4f} interrupted: {with_kills - without:+.4f}")


if __name__ == "__main__":
    main()
