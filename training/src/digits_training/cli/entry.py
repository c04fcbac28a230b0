"""Runs one command line: signals, failures, exit codes.

0 done; 1 failed; 2 a value that cannot be used; 3 the gate refused to publish; 143 stopped by SIGTERM. Every failure
is one line on stderr. `digits-train --traceback COMMAND` also prints the traceback of an unexpected failure, and of
a failure in the code of a network of your own, before that line.
"""

import errno
import os
import signal
import sys
import traceback

import click

from digits_training.cli.commands import TRACEBACK_FLAG, commands
from digits_training.errors import Interrupted, NetworkError, TrainingError

_TRACEBACK_VARIABLE = "DIGITS_TRACEBACK"


def main() -> None:
    """The console script. SIGTERM and SIGINT end it cleanly: it removes unfinished files and keeps the checkpoint."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        commands.main(arguments, prog_name="digits-train", standalone_mode=False)
    except click.ClickException as error:
        return _failed(" ".join(error.format_message().split()), error.exit_code)
    except TrainingError as error:
        if isinstance(error, NetworkError) and error.__cause__:  # the user's own code
            _print_traceback_if_asked(arguments)
        return _failed(str(error), error.exit_code)
    except OSError as error:
        named = f"{error.strerror}: {error.filename}" if error.filename else " ".join(str(error).split())
        return _failed(_disk_full(error) or named, 1)
    except Interrupted as interruption:
        return _failed("; ".join([str(interruption), *getattr(interruption, "__notes__", [])]), interruption.exit_code)
    except Exception as error:  # noqa: BLE001 - for every failure, the user gets one line and an exit code
        _print_traceback_if_asked(arguments)
        return _failed(_disk_full(error) or f"{type(error).__name__}: {' '.join(str(error).split())}", 1)
    return 0


def _print_traceback_if_asked(arguments: list[str]) -> None:
    if TRACEBACK_FLAG in arguments or os.environ.get(_TRACEBACK_VARIABLE, "") not in {"", "0"}:
        traceback.print_exc()


def _disk_full(error: Exception) -> str | None:
    """The message for a full disk, quota or file size limit, from any library; None for other errors."""
    known = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
    return next((f"could not write: {reason}" for reason in known if reason in str(error)), None)


def _interrupt(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # ignore a second signal: cleaning up takes a moment
    raise Interrupted(number)


def _failed(sentence: str, exit_code: int) -> int:
    # It can quote an untrusted model file, which must not write control sequences to this terminal.
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in sentence)
    print(f"digits-train: {printable}", file=sys.stderr)
    return exit_code
