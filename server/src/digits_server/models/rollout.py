"""The rollout of a model: which version must answer, and which versions are tried out. No files here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from digits_server.setting_types import Canary

NO_CANARY = Canary(0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class StatedRollout:
    """The content of pin.json.

    pinned  the version that must answer, 0 if none
    canary  NO_CANARY: there is no canary; None: the flag --canary applies, unless a version is pinned
    shadow  0: there is no shadow; None: the flag --shadow applies
    """

    pinned: int = 0
    canary: Canary | None = None
    shadow: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """The rollout in effect: pin.json, and the flags for what it leaves unset.

    pinned     the version that must answer, 0 if none
    canary     a version and its share of the requests that name no version, or NO_CANARY
    shadow     the version that is only compared, 0 if none
    overruled  one sentence for each flag that has no effect
    """

    pinned: int = 0
    canary: Canary = NO_CANARY
    shadow: int = 0
    overruled: tuple[str, ...] = ()

    @property
    def versions(self) -> set[int]:
        """The versions it names."""
        return {self.pinned, self.canary.version, self.shadow} - {0}

    def candidates(self, versions: Sequence[int], *, at_start: bool) -> list[int]:
        """The versions that may become the current one, best first.

        A canary or shadow becomes the current version only by a pin; a canary also at the start of a server that has no
        other version. A pin that cannot be followed changes nothing. At the start, a version before the pinned one
        replaces it, never a version after it: the pin keeps those from answering.

        versions  those that exist, ascending
        at_start  whether no version answers yet
        """
        if self.pinned:
            pinned = [self.pinned] if self.pinned in versions else []
            before = [version for version in reversed(versions) if version < self.pinned and version != self.shadow]
            return [*pinned, *(before if at_start else [])]
        tried_out = (self.canary.version, self.shadow)
        best = [version for version in reversed(versions) if version not in tried_out]
        last = self.canary.version in versions and self.canary.version != self.shadow
        return [*best, *([self.canary.version] if at_start and last else [])]

    def notes(self, versions: Sequence[int], rejected: Mapping[int, str], current: int) -> list[str]:
        """Notes for the operator: one sentence for each setting that cannot be followed, with the reason.

        versions  those that exist
        rejected  those that cannot answer, with the reason
        current   the version that answers requests that name no version, 0 if there is no such version
        """
        missing = dict.fromkeys(self.versions.difference(versions), "is not in the repository")
        bad = {version: f"is rejected ({reason})" for version, reason in rejected.items()} | missing
        return [
            *self.overruled,
            *self._about_the_pin(bad, current),
            *self._about_the_canary(bad, current),
            *self._about_the_shadow(bad, current),
        ]

    def _about_the_pin(self, bad: Mapping[int, str], current: int) -> Iterator[str]:
        if self.pinned in bad:
            if current == self.pinned:
                answers = "it answers from memory until the server stops"
            elif current:
                answers = f"version {current} answers"
            else:
                answers = "no version before it is good, and a version after it must not answer"
            yield f"version {self.pinned} is pinned but {bad[self.pinned]}: {answers}; pin another version, or unpin"

    def _about_the_canary(self, bad: Mapping[int, str], current: int) -> Iterator[str]:
        canary = self.canary.version
        if not canary:
            return
        if canary == self.shadow:
            yield f"version {canary} is both the canary and the shadow: it is only compared, and answers no request"
        elif canary in bad:
            yield f"version {canary} is the canary but {bad[canary]}: it answers no request"
        elif canary == self.pinned:
            yield f"version {canary} is the canary but is pinned, too: it answers every request that names no version"
        elif canary == current:
            yield f"version {canary} is the canary but no other version is good: it answers every request"

    def _about_the_shadow(self, bad: Mapping[int, str], current: int) -> Iterator[str]:
        if not self.shadow:
            return
        if self.shadow in bad:
            yield f"version {self.shadow} is the shadow but {bad[self.shadow]}: nothing is compared"
        elif self.shadow == self.pinned:
            yield f"version {self.shadow} is the shadow but is pinned, too: it answers, and nothing is compared"
        elif self.shadow == current:
            yield f"version {self.shadow} is the shadow but no other version can answer: it goes on answering"
        elif not current:
            yield f"version {self.shadow} is the shadow, which answers no request, and no other version is good"


def effective(stated: StatedRollout, canary: Canary | None, shadow: int | None) -> Rollout:
    """The rollout in effect, from pin.json and the flags --canary and --shadow."""
    overruled = []
    if canary and stated.canary is not None and stated.canary != canary:
        says = f"version {stated.canary.version} is the canary" if stated.canary.version else "there is no canary"
        overruled.append(f"--canary {canary} has no effect: pin.json says that {says}")
    elif canary and stated.canary is None and stated.pinned:
        overruled.append(f"--canary {canary} has no effect: version {stated.pinned} is pinned")
    if shadow and stated.shadow is not None and stated.shadow != shadow:
        says = f"version {stated.shadow} is the shadow" if stated.shadow else "there is no shadow"
        overruled.append(f"--shadow {shadow} has no effect: pin.json says that {says}")
    by_flag = (NO_CANARY if stated.pinned else canary) or NO_CANARY
    return Rollout(
        pinned=stated.pinned,
        canary=by_flag if stated.canary is None else stated.canary,
        shadow=(shadow or 0) if stated.shadow is None else stated.shadow,
        overruled=tuple(overruled),
    )
