"""The audit's report on pip-audit's findings in the locked packages."""

from typing import Any

from requirements.audit import findings

SOUND: dict[str, Any] = {"name": "sound", "version": "1.0", "vulns": []}
UNKNOWN: dict[str, Any] = {"name": "unknown", "skip_reason": "not found"}


def vulnerable(*fixed_in: str) -> dict[str, Any]:
    return {"name": "open", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": list(fixed_in)}]}


def test_a_known_vulnerability_fails() -> None:
    lines, clean = findings([SOUND, vulnerable("2.1", "3.0"), UNKNOWN], strict=False)
    assert not clean
    assert lines == [
        "open 2.0: CVE-1, fixed in 2.1, 3.0",
        "1 known vulnerabilities in 2 packages",
        "the index has no advisories on 1 more",
    ]


def test_a_vulnerability_without_a_fix_fails_too() -> None:
    lines, clean = findings([vulnerable()], strict=False)
    assert not clean
    assert lines[0] == "open 2.0: CVE-1, fixed in none yet"


def test_packages_unknown_to_the_index_fail_only_if_requested() -> None:
    assert findings([SOUND, UNKNOWN], strict=False)[1]
    assert not findings([SOUND, UNKNOWN], strict=True)[1]


def test_sound_packages_pass() -> None:
    assert findings([SOUND], strict=True) == (["0 known vulnerabilities in 1 packages"], True)
