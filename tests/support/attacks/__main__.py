"""Makes one attack on a server.

    python -m support.attacks rapid_resets 127.0.0.1:50051 10000

makes the attack `count` times, prints the result as one line of JSON, and holds every connection until its standard
input ends.
"""

import json
import sys

from support.attacks import grpc_attacks, http_attacks
from support.attacks.attacker import Attacker


def main(name: str, target: str, count: str) -> None:
    attacker = Attacker(target)
    attack = getattr(grpc_attacks, name, None) or getattr(http_attacks, name)
    attack(attacker, int(count))
    sys.stdout.write(json.dumps({"sent": attacker.sent, "cut": attacker.cut}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
