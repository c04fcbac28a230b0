"""Makes attacks on servers, each in its own process.

    python -m support.attacks rapid_resets 127.0.0.1:50051 10000 [NAME TARGET COUNT …]

makes each attack `count` times, prints its result as one line of JSON, and holds every connection until its standard
input ends.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module

from support.attacks.attacker import Attacker

MODULES = ("grpc_attacks", "http_attacks", "large_messages")
"""Where attacks are looked for. The last one imports gRPC, which takes longer than most attacks."""


Made = Callable[[Attacker, int], None]


def named(name: str) -> Made:
    modules = (import_module(f"support.attacks.{module}") for module in MODULES)
    attack: Made = next(getattr(module, name) for module in modules if hasattr(module, name))
    return attack


def make(attack: Made, target: str, count: str) -> None:
    attacker = Attacker(target)
    attack(attacker, int(count))
    sys.stdout.write(json.dumps({"sent": attacker.sent, "cut": attacker.cut}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def main(*words: str) -> None:
    names, targets, counts = words[::3], words[1::3], words[2::3]
    first, *others = zip(map(named, names), targets, counts, strict=True)  # imports what all need before it forks
    for other in others:
        if not os.fork():
            make(*other)
            return
    make(*first)


if __name__ == "__main__":
    main(*sys.argv[1:])
