"""Garbage collections do not visit what lives as long as the server: each of them would hold up all calls."""

import subprocess
import sys

PROGRAM = """
import gc
from digits_server.system.memory import freeze_objects, postpone_collections

postpone_collections()
made_before = [[] for _ in range(1000)]
print(gc.isenabled())
freeze_objects()
print(gc.isenabled(), len(made_before) <= gc.get_freeze_count(), any(each is made_before for each in gc.get_objects()))
"""


def test_what_exists_at_the_start_is_out_of_all_collections() -> None:
    """In a process of its own: the tests' own objects stay as they are."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "False"]
