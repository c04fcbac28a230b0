"""Plans the changes of pin.json: its new content, and the sentences for the operator. Nothing is written here.

If a command changes which version answers, it says so. The end of a canary or a shadow never changes it.
"""

from dataclasses import dataclass, replace

from digits_server.errors import OperatorError
from digits_server.models.command.versions import Versions
from digits_server.models.rollout import NO_CANARY, StatedRollout
from digits_server.setting_types import Canary


@dataclass(frozen=True, slots=True)
class Plan:
    """The new content of pin.json, and the sentences for the operator."""

    stated: StatedRollout
    says: list[str]


def pin(versions: Versions, stated: StatedRollout, version: int) -> Plan:
    """`version` answers every request that names no version. It is no longer canary or shadow, and the canary ends."""
    if reason := versions.reason(version):
        raise OperatorError(f"version {version} is not pinned: {reason}")
    without, ended = _without_trials(versions, stated, version)
    return Plan(replace(without, pinned=version), [f"version {version} is pinned", *ended])


def unpin(versions: Versions, stated: StatedRollout) -> Plan:
    """The highest good version answers again."""
    after = replace(stated, pinned=0)
    answers = versions.current(versions.rollout(after))
    return Plan(after, [f"no version is pinned{f'; version {answers} answers' if answers else ''}"])


def rollback(versions: Versions, stated: StatedRollout) -> Plan:
    """The version before the one that answers is pinned.

    If there is a canary, it ends, and the version that answers is pinned.
    """
    rollout = versions.rollout(stated)
    current = versions.current(rollout)
    newest = rollout.pinned or current
    if not newest:
        raise OperatorError("there is no good version")
    target = current if versions.canary(rollout) else versions.before(newest)
    was = "it answers every request again" if target == current == newest else f"it was {newest}"
    without, ended = _without_trials(versions, stated, target)
    return Plan(replace(without, pinned=target), [f"version {target} is pinned; {was}", *ended])


def start_canary(versions: Versions, stated: StatedRollout, version: int, share: float) -> Plan:
    """`version` answers this share of the requests that name no version, and another version answers the rest."""
    rollout = versions.rollout(stated)
    if reason := versions.reason(version):
        raise OperatorError(f"version {version} does not become the canary: {reason}")
    if version == rollout.pinned:
        raise OperatorError(f"version {version} is pinned, so it answers every request: pin another version first")
    after = replace(stated, canary=Canary(version, share))
    ended = []
    if version == rollout.shadow:
        after, ended = replace(after, shadow=0), [f"version {version} is no longer the shadow"]
    others = versions.current(versions.rollout(after))
    if others in (0, version):
        raise OperatorError(f"version {version} does not become the canary: no other version is good")
    before = versions.current(rollout)
    instead = f", instead of {before}" if before != others else ""
    says = f"version {version} is the canary: it answers {share:.3g} of the requests that name no version"
    return Plan(after, [says, f"version {others} answers the others{instead}", *ended])


def end_canary(versions: Versions, stated: StatedRollout) -> Plan:
    """The version that answered the other requests answers all of them."""
    canary = versions.rollout(stated).canary.version
    if not canary:
        raise OperatorError("there is no canary: if the servers have the flag --canary, give it to this command, too")
    after, kept = _keeping_current(versions, stated, replace(stated, canary=NO_CANARY))
    return Plan(after, [f"version {canary} is no longer the canary", *kept])


def start_shadow(versions: Versions, stated: StatedRollout, version: int) -> Plan:
    """`version` scores copies of live batches and answers no request."""
    rollout = versions.rollout(stated)
    if reason := versions.reason(version):
        raise OperatorError(f"version {version} does not become the shadow: {reason}")
    if version == rollout.pinned:
        raise OperatorError(f"version {version} is pinned, so it answers requests: pin another version first")
    after = replace(stated, shadow=version)
    ended = []
    if version == rollout.canary.version:
        after, ended = replace(after, canary=NO_CANARY), [f"version {version} is no longer the canary"]
    answers = versions.current(versions.rollout(after))
    if not answers:
        raise OperatorError(f"version {version} does not become the shadow: no other version is good")
    before = versions.current(rollout)
    instead = [f"version {answers} answers, instead of {before}"] if before != answers else []
    return Plan(after, [f"version {version} is the shadow: it is compared, and answers no request", *instead, *ended])


def end_shadow(versions: Versions, stated: StatedRollout) -> Plan:
    """No version is compared any longer; the version that answers stays the same."""
    shadow = versions.rollout(stated).shadow
    if not shadow:
        raise OperatorError("there is no shadow: if the servers have the flag --shadow, give it to this command, too")
    after, kept = _keeping_current(versions, stated, replace(stated, shadow=0))
    return Plan(after, [f"version {shadow} is no longer the shadow", *kept])


def _without_trials(versions: Versions, stated: StatedRollout, answers: int) -> tuple[StatedRollout, list[str]]:
    """Without a canary, and without a shadow if it is the version that `answers`; and the sentences about it.

    A field that neither pin.json nor a flag sets stays unset: older servers know the pin only.
    """
    rollout, without_pin = versions.rollout(stated), versions.rollout(replace(stated, pinned=0))
    says = []
    if rollout.canary.version:
        says.append(f"version {rollout.canary.version} is no longer the canary")
    if without_pin.canary.version:  # the shadow of a flag would come back when the pin ends
        stated = replace(stated, canary=NO_CANARY)
    if rollout.shadow == answers:
        says.append(f"version {rollout.shadow} is no longer the shadow")
        stated = replace(stated, shadow=0)
    return stated, says


def _keeping_current(
    versions: Versions, stated: StatedRollout, after: StatedRollout
) -> tuple[StatedRollout, list[str]]:
    """The same, with a pin if another version would answer without it; and the sentences about it."""
    current = versions.current(versions.rollout(stated))
    newer = versions.current(versions.rollout(after))
    if current in (0, newer):
        return after, []
    unlike = f"version {current} is pinned, so that it goes on answering; to let version {newer} answer, pin it"
    return replace(after, pinned=current), [unlike]
