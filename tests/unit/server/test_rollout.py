"""The rollout from pin.json and the flags, the versions that may answer, and the notes for the operator."""

import pytest

from digits_server.models.rollout import NO_CANARY, Rollout, StatedRollout, effective
from digits_server.setting_types import Canary

CANARY = Canary(3, 0.05)


def test_a_flag_applies_where_the_file_says_nothing() -> None:
    assert effective(StatedRollout(), CANARY, 2) == Rollout(canary=CANARY, shadow=2)
    assert effective(StatedRollout(canary=Canary(4, 0.5), shadow=1), None, None) == Rollout(
        canary=Canary(4, 0.5), shadow=1
    )
    assert effective(StatedRollout(canary=CANARY, shadow=2), CANARY, 2).overruled == ()


def test_a_flag_that_the_file_overrules_is_reported() -> None:
    ended = effective(StatedRollout(canary=NO_CANARY, shadow=0), CANARY, 2)
    assert (ended.canary, ended.shadow) == (NO_CANARY, 0)
    assert ended.notes([1, 2, 3], {}, 3) == [
        "--canary 3=5% has no effect: pin.json says that there is no canary",
        "--shadow 2 has no effect: pin.json says that there is no shadow",
    ]
    other = effective(StatedRollout(canary=Canary(4, 0.5), shadow=1), CANARY, 2)
    assert other.overruled == (
        "--canary 3=5% has no effect: pin.json says that version 4 is the canary",
        "--shadow 2 has no effect: pin.json says that version 1 is the shadow",
    )


def test_a_pin_ends_the_canary_of_a_flag_and_not_that_of_the_file() -> None:
    pinned = effective(StatedRollout(pinned=1), CANARY, None)
    assert pinned.canary == NO_CANARY
    assert pinned.overruled == ("--canary 3=5% has no effect: version 1 is pinned",)
    assert effective(StatedRollout(pinned=1, canary=CANARY), None, None).canary == CANARY


@pytest.mark.parametrize(
    ("rollout", "at_start", "running"),
    [
        (Rollout(), [4, 3, 2, 1], [4, 3, 2, 1]),
        (Rollout(pinned=3), [3, 2, 1], [3]),
        (Rollout(pinned=9), [4, 3, 2, 1], []),
        (Rollout(pinned=3, shadow=2), [3, 1], [3]),
        (Rollout(canary=Canary(4, 0.5)), [3, 2, 1, 4], [3, 2, 1]),
        (Rollout(shadow=4), [3, 2, 1], [3, 2, 1]),
        (Rollout(canary=Canary(4, 0.5), shadow=4), [3, 2, 1], [3, 2, 1]),
        (Rollout(canary=Canary(9, 0.5)), [4, 3, 2, 1], [4, 3, 2, 1]),
    ],
)
def test_which_versions_may_become_the_current_one(rollout: Rollout, at_start: list[int], running: list[int]) -> None:
    assert rollout.candidates([1, 2, 3, 4], at_start=True) == at_start
    assert rollout.candidates([1, 2, 3, 4], at_start=False) == running


@pytest.mark.parametrize(
    ("rollout", "current", "notes"),
    [
        (Rollout(), 3, []),
        (Rollout(pinned=1, canary=CANARY, shadow=4), 1, []),
        (
            Rollout(pinned=9),
            3,
            ["version 9 is pinned but is not in the repository: version 3 answers; pin another version, or unpin"],
        ),
        (
            Rollout(pinned=9),
            9,
            [
                (
                    "version 9 is pinned but is not in the repository: it answers from memory until the server stops; "
                    "pin another version, or unpin"
                )
            ],
        ),
        (
            Rollout(pinned=2),
            0,
            [
                (
                    "version 2 is pinned but is rejected (spoilt): no version before it is good, and a version after "
                    "it must not answer; pin another version, or unpin"
                )
            ],
        ),
        (
            Rollout(canary=Canary(9, 0.5)),
            3,
            ["version 9 is the canary but is not in the repository: it answers no request"],
        ),
        (
            Rollout(canary=Canary(2, 0.5)),
            3,
            ["version 2 is the canary but is rejected (spoilt): it answers no request"],
        ),
        (
            Rollout(canary=Canary(3, 0.5), shadow=3),
            1,
            ["version 3 is both the canary and the shadow: it is only compared, and answers no request"],
        ),
        (
            Rollout(canary=Canary(3, 0.5)),
            3,
            ["version 3 is the canary but no other version is good: it answers every request"],
        ),
        (
            Rollout(pinned=3, canary=Canary(3, 0.5)),
            3,
            ["version 3 is the canary but is pinned, too: it answers every request that names no version"],
        ),
        (Rollout(shadow=9), 3, ["version 9 is the shadow but is not in the repository: nothing is compared"]),
        (Rollout(shadow=2), 3, ["version 2 is the shadow but is rejected (spoilt): nothing is compared"]),
        (
            Rollout(pinned=3, shadow=3),
            3,
            ["version 3 is the shadow but is pinned, too: it answers, and nothing is compared"],
        ),
        (Rollout(shadow=3), 3, ["version 3 is the shadow but no other version can answer: it goes on answering"]),
        (Rollout(shadow=3), 0, ["version 3 is the shadow, which answers no request, and no other version is good"]),
    ],
)
def test_every_wish_that_cannot_be_followed_has_its_sentence(rollout: Rollout, current: int, notes: list[str]) -> None:
    assert rollout.notes([1, 2, 3, 4], {2: "spoilt"}, current) == notes
