"""Makes one attack on a server.

    python -m support.attacks rapid_resets 127.0.0.1:50051 10000

makes the attack `count` times, prints the result as one line of JSON, and holds every connection until its standard
input ends.
"""

import json
import sys
from importlib import import_module

from support.attacks.attacker import Attacker

MODULES = ("grpc_attacks", "http_attacks", "large_messages")
"""Where attacks are looked for. The last one imports gRPC, which takes longer than most attacks."""


def main(name: str, target: str, count: str) -> None:
    attacker = Attacker(target)
    modules = (import_module(f"support.attacks.{module}") for module in MODULES)
    attack = next(getattr(module, name) for module in modules if hasattr(module, name))
    attack(attacker, int(count))
    sys.stdout.write(json.dumps({"sent": attacker.sent, "cut": attacker.cut}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
