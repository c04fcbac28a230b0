"""Hostile connections, and a good caller that does not notice them; afterwards their resources are freed."""

from dataclasses import dataclass
from statistics import median

import pytest
from support.attacks.attack import Attack
from support.calls.witness import GrpcWitness, HttpWitness, PostWitness, Witness
from support.machine.usage import Usages, as_text
from support.records import Record
from support.servers.arrangements import BEHIND_ENVOY, OVER_EACH_ARRANGEMENT
from support.servers.process import ServerProcess
from support.waiting import until

pytestmark = OVER_EACH_ARRANGEMENT

CALLS, CALLS_IN_FULL = 50, 2_000
"""Of the good caller, while the attackers hold what they have."""

ROUNDS_IN_FULL = 3
"""Rounds of the same attack. The result is their median, because the machine itself stalls sometimes."""

MOST_MEMORY = 100.0
"""MiB by which the server and the proxy in front may grow."""

MORE_MEMORY = {("continuations", "grpcio"): 200.0}
"""Promises that a transport cannot keep: docs/security.md says which transport to use if they matter."""

REFUSALS = {("unfinished_calls", "grpcio"): "StatusCode.CANCELLED"}
"""Statuses that a good caller may still get: from grpcio's core, during a burst of more calls than --max-calls."""

AS_FAST = ("idle", "half_open", "one_byte_a_second", "rapid_resets")
"""Attacks beside which a good caller's p99 is at most twice what it was. Floods take processor time while they last."""

GIVEN_BACK_SECONDS = 60.0
KEPT_DESCRIPTORS = 16
"""Connections between Envoy and the server, at both ends, that stay for the next calls."""

GOOD = "a good caller"

ATTACKS = {
    "idle": (500, 500),
    "half_open": (100, 100),
    "one_byte_a_second": (100, 100),
    "rapid_resets": (2_000, 10_000),
    "resets_of_whole_calls": (500, 10_000),
    "pings": (20_000, 200_000),
    "settings": (20_000, 200_000),
    "priorities": (20_000, 200_000),
    "empty_data": (20_000, 200_000),
    "window_updates": (20_000, 200_000),
    "continuations": (500, 10_000),
    "large_headers": (200, 4_000),
    "closed_windows": (200, 1_000),
    "unfinished_calls": (3_000, 10_000),
    "garbage": (100, 1_000),
}
"""By name, how often in a short run and in full."""

HTTP_ATTACKS = {
    "http_idle": (500, 2_000),
    "http_slow": (100, 300),
    "http_unread": (256, 256),
    "http_unfinished_bodies": (64, 256),
    "http_tiny_chunks": (20, 1_000),
    "http_json": (4, 200),
    "http_huge_numbers": (4, 200),
}
"""The same, of attacks on the HTTP port."""


@dataclass(frozen=True)
class Round:
    """A good caller before an attack and during it.

    p99     seconds, of its calls during the attack
    slower  that p99, of the one before
    growth  MiB that each process took at most
    """

    p99: float
    slower: float
    growth: dict[str, float]


def attacked(attack: Attack, usage: Usages, witness: Witness, calls: int, kept: int) -> Round:
    before = len(witness.seconds)
    witness.wait_for_more(calls)
    quiet = witness.p99(before)
    descriptors = usage.descriptors + kept
    usage.remember()
    during = len(witness.seconds)
    with attack:
        came_to = attack.done()
        witness.wait_for_more(calls)
    p99 = witness.p99(during)
    growth = usage.growth()
    assert came_to["sent"] >= attack.count, came_to
    until(lambda: usage.descriptors <= descriptors, "every descriptor is given back", GIVEN_BACK_SECONDS)
    witness.wait_for_more(5)
    return Round(p99, p99 / quiet, growth)


def held_against(
    attack: Attack, server: ServerProcess, witness: Witness, record: Record, *, full: bool, who: str = GOOD
) -> None:
    usage = Usages(server.pids)
    kept = KEPT_DESCRIPTORS if record.arrangement.endswith(BEHIND_ENVOY) else 0
    if full:
        usage.pin(0)
    with witness:
        rounds = [
            attacked(attack, usage, witness, CALLS_IN_FULL if full else CALLS, kept)
            for _ in range(ROUNDS_IN_FULL if full else 1)
        ]
    p99, slower = median(each.p99 for each in rounds), median(each.slower for each in rounds)
    worst = max((each.growth for each in rounds), key=lambda growth: sum(growth.values()))
    grown = sum(worst.values())
    fast = slower <= 2 or attack.name not in AS_FAST
    record(
        f"{attack.name.replace('_', ' ')}, {attack.count:,}: {who}'s failures; its p99; memory",
        f"{len(witness.failures)} of {witness.calls:,}; {1000 * p99:.1f} ms, {slower:.1f} ×; {as_text(worst)}",
        met=not witness.failures and grown <= MOST_MEMORY and fast,
    )
    refusal = REFUSALS.get((attack.name, record.arrangement))
    assert [failure for failure in witness.failures if not (refusal and refusal in failure)] == []
    assert grown <= MORE_MEMORY.get((attack.name, record.arrangement), MOST_MEMORY)
    assert not full or fast


@pytest.mark.parametrize("name", ATTACKS)
def test_a_good_caller_is_not_affected_by(name: str, server: ServerProcess, record: Record, *, full: bool) -> None:
    attack = Attack(name, server.target, ATTACKS[name][full])
    held_against(attack, server, GrpcWitness(server.target), record, full=full)


@pytest.mark.parametrize("name", HTTP_ATTACKS)
def test_probes_are_not_affected_by(name: str, server: ServerProcess, record: Record, *, full: bool) -> None:
    attack = Attack(name, server.http.removeprefix("http://"), HTTP_ATTACKS[name][full])
    held_against(attack, server, HttpWitness(server.http + "/healthz"), record, full=full, who="a probe")


@pytest.mark.parametrize("name", HTTP_ATTACKS)
def test_a_good_caller_over_http_is_answered_beside(
    name: str, server: ServerProcess, record: Record, *, full: bool
) -> None:
    attack = Attack(name, server.http.removeprefix("http://"), HTTP_ATTACKS[name][full])
    held_against(attack, server, PostWitness(server.http), record, full=full, who="a good HTTP caller")


@pytest.mark.parametrize("name", HTTP_ATTACKS)
def test_a_good_grpc_caller_is_answered_beside(name: str, server: ServerProcess, record: Record, *, full: bool) -> None:
    attack = Attack(name, server.http.removeprefix("http://"), HTTP_ATTACKS[name][full])
    held_against(attack, server, GrpcWitness(server.target), record, full=full, who="a good gRPC caller")
