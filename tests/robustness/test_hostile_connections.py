"""Hostile connections, and a good caller that does not notice them; afterwards their resources are freed."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import pytest
from support.attacks.attack import Attack
from support.calls.witness import GrpcWitness, HttpWitness, PostWitness, Witness
from support.machine.usage import Usages, as_text
from support.records import Record
from support.servers.arrangements import BEHIND_ENVOY, OFFERED, OVER_EACH_ARRANGEMENT
from support.servers.process import ServerProcess
from support.waiting import until

CALLS, CALLS_OF_EACH, CALLS_IN_FULL = 50, 15, 2_000
"""Of the good caller, or of each of several, while the attackers hold what they have."""

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
    "http_unfinished_bodies": (32, 256),
    "http_tiny_chunks": (8, 1_000),
    "http_json": (4, 200),
    "http_huge_numbers": (4, 200),
}
"""The same, of attacks on the HTTP port."""

CALLERS: dict[str, Callable[[ServerProcess, float], Witness]] = {
    "a probe": lambda server, pause: HttpWitness(server.http + "/healthz", pause=pause),
    "a good HTTP caller": lambda server, pause: PostWitness(server.http, pause=pause),
    "a good gRPC caller": lambda server, pause: GrpcWitness(server.target, pause=pause),
}
"""Who is answered beside attacks on the HTTP port."""

PAUSE_SECONDS = 0.005
"""Between two calls of each of several callers."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Attacks on the HTTP port: in full, one for each caller and arrangement.

    In a short run one attack meets all callers, without Envoy: it goes to the server's own port, past the proxy.
    """
    if "callers" not in metafunc.fixturenames:
        return
    full = bool(metafunc.config.getoption("full"))
    callers = [[who] for who in CALLERS] if full else [list(CALLERS)]
    offered = OFFERED if full else [each for each in OFFERED if not each.endswith(BEHIND_ENVOY)]
    metafunc.parametrize("callers", callers, ids=", ".join)
    metafunc.parametrize("transport", offered, indirect=True, scope="module")


@dataclass(frozen=True)
class Round:
    """Good callers before an attack and during it, in their order.

    p99     seconds, of the calls of each during the attack
    slower  that p99, of the one before
    growth  MiB that each process took at most
    """

    p99: list[float]
    slower: list[float]
    growth: dict[str, float]


def wait_for_more(witnesses: Sequence[Witness], calls: int) -> None:
    """Returns when each has ended this many more calls."""
    for witness in witnesses:
        witness.wait_for_more(calls)


def p99_since(witnesses: Sequence[Witness], since: Sequence[int]) -> list[float]:
    return [witness.p99(first) for witness, first in zip(witnesses, since, strict=True)]


def attacked(attack: Attack, usage: Usages, witnesses: Sequence[Witness], calls: int, kept: int) -> Round:
    before = [len(witness.seconds) for witness in witnesses]
    wait_for_more(witnesses, calls)
    quiet = p99_since(witnesses, before)
    descriptors = usage.descriptors + kept
    usage.remember()
    during = [len(witness.seconds) for witness in witnesses]
    with attack:
        came_to = attack.done()
        wait_for_more(witnesses, calls)
    p99 = p99_since(witnesses, during)
    growth = usage.growth()
    assert came_to["sent"] >= attack.count, came_to
    until(lambda: usage.descriptors <= descriptors, "every descriptor is given back", GIVEN_BACK_SECONDS)
    wait_for_more(witnesses, 5)
    return Round(p99, [one / other for one, other in zip(p99, quiet, strict=True)], growth)


def held_against(
    attack: Attack, server: ServerProcess, witnesses: Mapping[str, Witness], record: Record, *, full: bool
) -> None:
    """`witnesses` are the callers that must not notice it, by what the record calls them."""
    usage = Usages(server.pids)
    kept = KEPT_DESCRIPTORS if record.arrangement.endswith(BEHIND_ENVOY) else 0
    if full:
        usage.pin(0)
    with ExitStack() as ending:
        callers = [ending.enter_context(witness) for witness in witnesses.values()]
        in_short = CALLS if len(callers) == 1 else CALLS_OF_EACH
        rounds = [
            attacked(attack, usage, callers, CALLS_IN_FULL if full else in_short, kept)
            for _ in range(ROUNDS_IN_FULL if full else 1)
        ]
    worst = max((each.growth for each in rounds), key=lambda growth: sum(growth.values()))
    grown = sum(worst.values())
    refusal = REFUSALS.get((attack.name, record.arrangement))
    for at, (who, witness) in enumerate(witnesses.items()):
        p99, slower = median(each.p99[at] for each in rounds), median(each.slower[at] for each in rounds)
        fast = slower <= 2 or attack.name not in AS_FAST
        record(
            f"{attack.name.replace('_', ' ')}, {attack.count:,}: {who}'s failures; its p99; memory",
            f"{len(witness.failures)} of {witness.calls:,}; {1000 * p99:.1f} ms, {slower:.1f} ×; {as_text(worst)}",
            met=not witness.failures and grown <= MOST_MEMORY and fast,
        )
        assert [failure for failure in witness.failures if not (refusal and refusal in failure)] == [], who
        assert not full or fast
    assert grown <= MORE_MEMORY.get((attack.name, record.arrangement), MOST_MEMORY)


@OVER_EACH_ARRANGEMENT
@pytest.mark.parametrize("name", ATTACKS)
def test_a_good_caller_is_not_affected_by(name: str, server: ServerProcess, record: Record, *, full: bool) -> None:
    attack = Attack(name, server.target, ATTACKS[name][full])
    held_against(attack, server, {GOOD: GrpcWitness(server.target)}, record, full=full)


@pytest.mark.parametrize("name", HTTP_ATTACKS)
def test_callers_and_probes_are_answered_beside(
    name: str, callers: list[str], server: ServerProcess, record: Record, *, full: bool
) -> None:
    attack = Attack(name, server.http.removeprefix("http://"), HTTP_ATTACKS[name][full])
    pause = 0.0 if full else PAUSE_SECONDS
    held_against(attack, server, {who: CALLERS[who](server, pause) for who in callers}, record, full=full)
