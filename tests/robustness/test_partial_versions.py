"""Versions cut short, with a bit flipped, or whose publisher was killed at any step: none is ever served in part."""

import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path
from random import Random

from support.calls.witness import GrpcWitness
from support.models.repositories import copy_version
from support.records import Record
from support.servers.following import following
from support.servers.process import OVER_BOTH_TRANSPORTS
from support.waiting import until

pytestmark = OVER_BOTH_TRANSPORTS

DAMAGED, DAMAGED_IN_FULL = 10, 100
"""Of each kind."""

PUBLISHER_SECONDS = 60
MOST_STEPS = 1_000

PUBLISHER = """
import os, shutil, signal, sys
from pathlib import Path
from digits_training.repository import publish

good, model, killed_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
taken = 0

def step(event, arguments):
    global taken
    if any(isinstance(each, (str, os.PathLike)) and str(model) in str(each) for each in arguments):
        taken += 1
        if taken == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

def write_manifest(folder, version):
    manifest = good.joinpath("manifest.json").read_text()
    folder.joinpath("manifest.json").write_text(manifest.replace('"modelVersion": "1"', f'"modelVersion": "{version}"'))

sys.addaudithook(step)
with publish.staging(model) as folder:
    for path in good.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            target = folder / path.relative_to(good)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    publish.publish(folder, write_manifest)
"""
"""Publishes a copy of a version as training does; dies when it is about to touch the repository for the n-th time."""


def files(version: Path) -> list[Path]:
    return sorted(path for path in version.rglob("*") if path.is_file())


def cut_short(version: Path, random: Random) -> None:
    path = random.choice(files(version))
    os.truncate(path, random.randrange(len(path.read_bytes().rstrip())))


def flip_a_bit(version: Path, random: Random) -> None:
    """Of any file in the manifest. The manifest itself is protected by a signature."""
    path = random.choice([path for path in files(version) if path.name != "manifest.json"])
    content = bytearray(path.read_bytes())
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.write_bytes(content)


def test_a_version_cut_short_anywhere_or_with_any_bit_flipped_is_refused(
    repository: Path, tmp_path: Path, full: bool, record: Record
) -> None:
    random = Random(0)
    damages = [cut_short, flip_a_bit] * (DAMAGED_IN_FULL if full else DAMAGED)
    copy_version(repository, tmp_path, 1)
    with following(tmp_path) as follower, GrpcWitness(follower.server.target) as witness:
        for version, damage in enumerate(damages, 2):
            damaged = copy_version(repository, tmp_path / "aside", version)
            damage(damaged, random)
            damaged.rename(tmp_path / "digits" / str(version))
        expected = {1: "SERVING"} | dict.fromkeys(range(2, len(damages) + 2), "REJECTED")
        until(lambda: follower.states() == expected, "every damaged version is refused", 120)
        witness.wait_for_more(5)
        said = {follower.reason(version) for version in expected if version > 1}
        assert follower.failures() == len(damages)
        assert follower.answer()[0] == 1
    record(
        f"{len(damages)} versions cut short or with a bit flipped: served; a caller's failures meanwhile",
        f"0; {len(witness.failures)} of {witness.calls:,}",
        met=not witness.failures,
    )
    assert witness.failures == []
    assert all(reason and str(tmp_path) not in reason for reason in said)


def test_a_publisher_killed_at_any_step_publishes_a_whole_version_or_no_version(
    repository: Path, tmp_path: Path, transport: str, record: Record, *, full: bool
) -> None:
    """In a short run, over one transport at each second step, over the other at the steps between."""
    steps = count(1) if full else count(1 + (transport == "native"), 2)
    copy_version(repository, tmp_path, 1)
    model, good = tmp_path / "digits", repository / "digits" / "1"
    published, killed = 1, 0
    with following(tmp_path) as follower:
        for killed_at in steps:
            run = subprocess.run(
                [sys.executable, "-c", PUBLISHER, good, model, str(killed_at)], check=False, timeout=PUBLISHER_SECONDS
            )
            assert run.returncode in (0, -signal.SIGKILL)
            published = max(int(path.name) for path in model.iterdir() if path.name.isdigit())
            until(lambda newest=published: follower.answer()[0] == newest, f"version {published} serves")  # type: ignore[misc]
            if run.returncode == 0:
                break
            killed += 1
            assert killed < MOST_STEPS
        assert follower.failures() == 0
        assert [path.name for path in model.iterdir() if not path.name.isdigit()] == []
    record(
        f"a publisher killed at each of its {killed} steps: versions published in part",
        f"0; {published - 2} were whole",
    )
    assert killed > 10
    assert {len(files(path)) for path in model.iterdir()} == {len(files(good))}
