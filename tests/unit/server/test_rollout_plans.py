"""The plans of `digits-server models`: no command silently changes which version answers, and a rollback goes back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.models.variants import publish
from support.servers.models_command import spoil

from digits_server.errors import OperatorError
from digits_server.models.command import plans
from digits_server.models.command.versions import Versions
from digits_server.models.rollout import NO_CANARY, StatedRollout
from digits_server.setting_types import Canary
from digits_server.settings import Settings

VersionsBeside = Callable[..., Versions]


@pytest.fixture(scope="module")
def beside(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> VersionsBeside:
    """The good versions 1, 2 and 4 and the bad version 3, as servers with these flags see them."""
    root = tmp_path_factory.mktemp("versions")
    for version in (1, 2, 3, 4):
        publish(repository, root, version)
    spoil(root / "digits/3")
    known: dict[tuple[Canary | None, int | None], Versions] = {}

    def versions(canary: Canary | None = None, shadow: int | None = None) -> Versions:
        if (canary, shadow) not in known:
            known[canary, shadow] = Versions(Settings(repository=root, canary=canary, shadow=shadow))
        return known[canary, shadow]

    return versions


CANARY = Canary(4, 0.05)


def test_a_rollback_pins_the_good_version_before_the_one_that_answers(beside: VersionsBeside) -> None:
    first = plans.rollback(beside(), StatedRollout())
    assert (first.stated, first.says) == (StatedRollout(pinned=2), ["version 2 is pinned; it was 4"])
    second = plans.rollback(beside(), first.stated)
    assert (second.stated, second.says) == (StatedRollout(pinned=1), ["version 1 is pinned; it was 2"])
    with pytest.raises(OperatorError, match="there is no good version before 1"):
        plans.rollback(beside(), second.stated)


@pytest.mark.parametrize(("stated", "flag"), [(StatedRollout(shadow=4), None), (StatedRollout(), 4)])
def test_beside_a_shadow_a_rollback_goes_to_the_version_before_the_one_that_answers(
    beside: VersionsBeside, stated: StatedRollout, flag: int | None
) -> None:
    plan = plans.rollback(beside(shadow=flag), stated)
    assert plan.says == ["version 1 is pinned; it was 2"]
    assert plan.stated == StatedRollout(pinned=1, shadow=stated.shadow)


@pytest.mark.parametrize(("stated", "flag"), [(StatedRollout(canary=CANARY), None), (StatedRollout(), CANARY)])
def test_beside_a_canary_a_rollback_ends_it_and_never_rolls_forward(
    beside: VersionsBeside, stated: StatedRollout, flag: Canary | None
) -> None:
    first = plans.rollback(beside(flag), stated)
    assert first.stated == StatedRollout(pinned=2, canary=NO_CANARY)
    assert first.says == ["version 2 is pinned; it answers every request again", "version 4 is no longer the canary"]
    second = plans.rollback(beside(flag), first.stated)
    assert second.stated == StatedRollout(pinned=1, canary=NO_CANARY)
    assert beside(flag).rollout(plans.unpin(beside(flag), second.stated).stated).canary == NO_CANARY


def test_beside_a_canary_and_a_shadow_a_rollback_ends_the_canary_only(beside: VersionsBeside) -> None:
    plan = plans.rollback(beside(Canary(2, 0.05), 4), StatedRollout())
    assert plan.stated == StatedRollout(pinned=1, canary=NO_CANARY)
    assert plan.says == ["version 1 is pinned; it answers every request again", "version 2 is no longer the canary"]


def test_a_rollback_beside_a_canary_that_answers_nothing_goes_to_the_version_before(beside: VersionsBeside) -> None:
    plan = plans.rollback(beside(), StatedRollout(canary=Canary(3, 0.05)))
    assert plan.says == ["version 2 is pinned; it was 4", "version 3 is no longer the canary"]


@pytest.mark.parametrize("pinned", [3, 5])
def test_a_rollback_from_a_pinned_version_that_is_bad_or_gone_goes_before_it(
    beside: VersionsBeside, pinned: int
) -> None:
    before = {3: 2, 5: 4}[pinned]
    assert plans.rollback(beside(), StatedRollout(pinned=pinned)).stated == StatedRollout(pinned=before)


def test_a_pin_ends_the_canary_and_the_shadow_that_it_names(beside: VersionsBeside) -> None:
    plan = plans.pin(beside(), StatedRollout(canary=CANARY, shadow=2), 4)
    assert plan.stated == StatedRollout(pinned=4, canary=NO_CANARY, shadow=2)
    assert plan.says == ["version 4 is pinned", "version 4 is no longer the canary"]
    plan = plans.pin(beside(), StatedRollout(shadow=2), 2)
    assert plan.stated == StatedRollout(pinned=2, shadow=0)
    assert plan.says == ["version 2 is pinned", "version 2 is no longer the shadow"]


def test_an_unpin_says_which_version_answers(beside: VersionsBeside) -> None:
    assert plans.unpin(beside(), StatedRollout(pinned=1)).says == ["no version is pinned; version 4 answers"]
    assert plans.unpin(beside(CANARY), StatedRollout(pinned=1)).says == ["no version is pinned; version 2 answers"]


def test_a_canary_starts_and_changes_and_names_the_version_that_answers_the_others(beside: VersionsBeside) -> None:
    plan = plans.start_canary(beside(), StatedRollout(), 4, 0.05)
    assert plan.stated == StatedRollout(canary=CANARY)
    assert plan.says == [
        "version 4 is the canary: it answers 0.05 of the requests that name no version",
        "version 2 answers the others, instead of 4",
    ]
    plan = plans.start_canary(beside(), plan.stated, 4, 0.5)
    assert plan.says[1] == "version 2 answers the others"
    assert plan.stated == StatedRollout(canary=Canary(4, 0.5))


@pytest.mark.parametrize("flag", [None, CANARY])
def test_the_end_of_a_canary_changes_only_its_own_answers(beside: VersionsBeside, flag: Canary | None) -> None:
    plan = plans.end_canary(beside(flag), StatedRollout(canary=None if flag else CANARY))
    assert plan.stated == StatedRollout(pinned=2, canary=NO_CANARY)
    assert plan.says == [
        "version 4 is no longer the canary",
        "version 2 is pinned, so that it goes on answering; to let version 4 answer, pin it",
    ]
    lower = plans.end_canary(beside(), StatedRollout(canary=Canary(1, 0.05)))
    assert (lower.stated, lower.says) == (StatedRollout(canary=NO_CANARY), ["version 1 is no longer the canary"])


def test_the_end_of_a_shadow_changes_no_answers(beside: VersionsBeside) -> None:
    plan = plans.end_shadow(beside(), StatedRollout(shadow=4))
    assert plan.stated == StatedRollout(pinned=2, shadow=0)
    assert plans.end_shadow(beside(), StatedRollout(pinned=1, shadow=4)).stated == StatedRollout(pinned=1, shadow=0)


def test_a_shadow_becomes_the_canary_and_a_canary_the_shadow(beside: VersionsBeside) -> None:
    plan = plans.start_shadow(beside(), StatedRollout(), 4)
    assert plan.says == [
        "version 4 is the shadow: it is compared, and answers no request",
        "version 2 answers, instead of 4",
    ]
    plan = plans.start_canary(beside(), plan.stated, 4, 0.05)
    assert plan.stated == StatedRollout(canary=CANARY, shadow=0)
    assert plan.says[-1] == "version 4 is no longer the shadow"
    plan = plans.start_shadow(beside(), plan.stated, 4)
    assert plan.stated == StatedRollout(canary=NO_CANARY, shadow=4)
    assert plan.says[-1] == "version 4 is no longer the canary"


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (
            lambda versions, stated: plans.start_canary(versions, stated, 9, 0.05),
            "version 9 does not become the canary: there is no such",
        ),
        (
            lambda versions, stated: plans.start_canary(versions, stated, 3, 0.05),
            "version 3 does not become the canary: model.tflite",
        ),
        (
            lambda versions, stated: plans.start_canary(versions, stated, 4, 0.05),
            "version 4 is pinned, so it answers every request",
        ),
        (
            lambda versions, stated: plans.start_shadow(versions, stated, 9),
            "version 9 does not become the shadow: there is no such",
        ),
        (
            lambda versions, stated: plans.start_shadow(versions, stated, 4),
            "version 4 is pinned, so it answers requests",
        ),
        (plans.end_canary, "there is no canary: if the servers have the flag --canary"),
        (plans.end_shadow, "there is no shadow: if the servers have the flag --shadow"),
        (lambda versions, stated: plans.pin(versions, stated, 3), "version 3 is not pinned: model.tflite"),
    ],
)
def test_an_impossible_plan_is_refused_with_a_sentence(
    beside: VersionsBeside, plan: Callable[..., object], sentence: str
) -> None:
    with pytest.raises(OperatorError) as refused:
        plan(beside(), StatedRollout(pinned=4))
    assert refused.value.message.startswith(sentence)


def test_the_only_version_cannot_be_tried_out(repository: Path) -> None:
    only = Versions(Settings(repository=repository))
    starts: list[Callable[[], plans.Plan]] = [
        lambda: plans.start_canary(only, StatedRollout(), 1, 0.5),
        lambda: plans.start_shadow(only, StatedRollout(), 1),
    ]
    for start in starts:
        with pytest.raises(OperatorError, match="no other version is good"):
            start()
