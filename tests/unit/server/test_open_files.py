"""Open files: as many as the server's own limits need, if the system allows it."""

import subprocess
import sys

CODE = """
import logging, resource, sys
from digits_server.system.open_files import allow
logging.basicConfig(format="%(message)s")
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
allow(connections)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def allowed(soft: int, hard: int, connections: int) -> tuple[int, str]:
    """The limit of a process that began with `soft` and `hard`, and its log."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(soft), str(hard), str(connections)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return int(done.stdout), done.stderr


def test_the_limit_is_raised_to_what_the_connections_need() -> None:
    assert allowed(64, 1000, 500) == (756, "")


def test_a_limit_that_is_enough_stays() -> None:
    assert allowed(900, 1000, 500) == (900, "")


def test_a_limit_of_the_system_is_logged() -> None:
    limit, said = allowed(64, 300, 500)
    assert (limit, said) == (300, "the system allows 300 open files; 500 connections may need 756\n")
