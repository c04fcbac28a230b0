"""The command line, `digits-train`: `main` is the console script, `run` runs one command line.

`commands` has the commands, `options` their flags, `entry` the exit codes.
"""

from digits_training.cli.entry import main, run

__all__ = ["main", "run"]
