"""The command `digits`, run as anyone would."""

import os
import subprocess
from pathlib import Path

from support.servers.process import SCRIPTS

NOWHERE = "127.0.0.1:1"


def digits(*arguments: str | Path, target: str = NOWHERE, typed: bytes = b"") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `digits …`."""
    environment = {**os.environ, "DIGITS_TARGET": target}
    done = subprocess.run(
        [SCRIPTS / "digits", *arguments], capture_output=True, timeout=60, check=False, env=environment, input=typed
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()
