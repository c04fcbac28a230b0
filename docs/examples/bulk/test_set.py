"""Writes what `make test-bulk` scores: a model repository with one version, and MNIST's test set.

test_set.py FOLDER        FOLDER/models/digits/1, FOLDER/test.npz
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

from digits_training.data import read


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    train = [Path(sysconfig.get_path("scripts")) / "digits-train", "train", "--unless-published"]
    subprocess.run([*train, "--repository", folder / "models"], check=True)
    test = read(None).test
    np.savez(folder / "test.npz", images=test.images, labels=test.labels)


if __name__ == "__main__":
    main()
