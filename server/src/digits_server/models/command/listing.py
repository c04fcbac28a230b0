"""The output of `models list`, as a table or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

from digits_server.errors import RepositoryError
from digits_server.models.command.versions import Versions
from digits_server.models.rollout import Rollout

HEAD = ("VERSION", "STATE", "NETWORK", "ACCURACY", "PUBLISHED (UTC)", "SIZE", "ROLE")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One version. A value that is not in its manifest is None.

    state          "good", "rejected", or "missing": pin.json or a flag names it, but it does not exist
    reason         why it is rejected, else empty
    test_accuracy  on the test set, from 0 to 1
    published_at   UTC, ISO 8601
    size_bytes     of all its files
    roles          of "current", "pinned", "canary", "shadow"
    """

    version: int
    state: str
    reason: str
    network: str | None
    test_accuracy: float | None
    published_at: str | None
    size_bytes: int | None
    roles: list[str]

    def cells(self, share: float) -> tuple[str, ...]:
        """The row of the table, without the reason."""
        accuracy = "" if self.test_accuracy is None else f"{self.test_accuracy:.4f}"
        roles = [f"canary {100 * share:g}%" if role == "canary" else role for role in self.roles]
        published = (self.published_at or "")[:16].replace("T", " ")
        size = "" if self.size_bytes is None else _human(self.size_bytes)
        return str(self.version), self.state, self.network or "", accuracy, published, size, ", ".join(roles)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Every version, and notes for the operator.

    error  why pin.json cannot be used, else empty
    """

    rows: list[Row]
    rollout: Rollout
    current: int
    notes: list[str]
    error: str

    @classmethod
    def of(cls, versions: Versions) -> Self:
        """Verifies every version."""
        rollout, current, error = Rollout(), 0, ""
        try:
            rollout = versions.rollout(versions.pins.read())
            current = versions.current(rollout)
        except RepositoryError as broken:
            error = broken.message
        there = versions.there(rollout.versions)
        reasons = {version: reason for version in there if (reason := versions.reason(version))}
        rows = [_row(versions, version, there, rollout, current) for version in sorted({*there, *rollout.versions})]
        notes = [error] if error else rollout.notes(there, reasons, current)
        return cls(rows=rows, rollout=rollout, current=current, notes=notes, error=error)

    def as_text(self) -> str:
        """A table with the reasons in the last column, then the notes."""
        table = [HEAD, *(row.cells(self.rollout.canary.share) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        reasons = ["", *(row.reason for row in self.rows)]
        lines = [f"{_aligned(cells, widths)}  {reason}".rstrip() for cells, reason in zip(table, reasons, strict=True)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def as_json(self) -> str:
        """One object; a version that does not exist is null."""
        canary = self.rollout.canary
        return json.dumps(
            {
                "versions": [asdict(row) for row in self.rows],
                "current": self.current or None,
                "pinned": self.rollout.pinned or None,
                "canary": {"version": canary.version, "share": canary.share} if canary.version else None,
                "shadow": self.rollout.shadow or None,
                "notes": self.notes,
            },
            indent=2,
        )


def _row(versions: Versions, version: int, there: Sequence[int], rollout: Rollout, current: int) -> Row:
    roles = {"current": current, "pinned": rollout.pinned, "canary": rollout.canary.version, "shadow": rollout.shadow}
    reason = versions.reason(version) if version in there else ""
    manifest = versions.manifest(version) if version in there else None
    measured = manifest is not None and manifest.metrics.test_images
    return Row(
        version=version,
        state="missing" if version not in there else "rejected" if reason else "good",
        reason=reason,
        network=manifest.training.network if manifest else None,
        test_accuracy=manifest.metrics.test_accuracy if manifest and measured else None,
        published_at=manifest.created_at.ToJsonString() if manifest and manifest.HasField("created_at") else None,
        size_bytes=sum(file.size_bytes for file in manifest.files) if manifest else None,
        roles=[role for role, its in roles.items() if its == version],
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))


def _human(size: float) -> str:
    """Bytes with a unit, to three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"
