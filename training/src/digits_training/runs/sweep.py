"""Trains the same network with several values of some settings, each in a separate process, and compares the runs."""

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from digits_training.errors import SettingsError, TrainingError
from digits_training.runs import compare
from digits_training.runs.record import Say, new_folder
from digits_training.settings import Kind, Settings, flag
from digits_training.settings.networks import parts_of_a_batch

MAX_RUNS = 200  # of one sweep
POLL_SECONDS = 0.2
REPOSITORIES = ".repositories"  # in the folder of a sweep, while it runs
_MAIN = "from digits_training.cli import main; main()"

Combination = dict[str, str]
"""A value for each flag, as text for the command line."""


def combinations(varied: Iterable[str]) -> list[Combination]:
    """Every combination of the values in texts such as `learning-rate=0.01,0.1`. Raises SettingsError.

    Values are separated by commas; those of a setting that is a list itself by slashes: `hidden-sizes=20,20/50`.
    """
    axes: dict[str, list[str]] = {}
    known = {each.name: each for each in fields(Settings) if each.metadata["kind"] == Kind.HYPERPARAMETER}
    for text in varied:
        name, equals, values = text.partition("=")
        setting = known.get(name.strip("-").replace("-", "_"))
        if setting is None or not equals or setting.type is bool:
            raise SettingsError(
                f"--over {text!r} must be a hyperparameter and its values, for example learning-rate=0.01,0.1"
            )
        separator = "/" if isinstance(setting.default, tuple) else ","
        axes[flag(setting.name)] = [value.strip() for value in values.split(separator) if value.strip()]
    found = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    if not 2 <= len(found) <= MAX_RUNS:
        raise SettingsError(f"--over gives {len(found):,} combinations of values; a sweep takes from 2 to {MAX_RUNS}")
    return found


def runs_at_once(found: list[Combination], network: str, cores: int) -> int:
    """How many runs fit on `cores` at once. `network` is that of runs which do not name another."""
    return max(1, cores // max(parts_of_a_batch(each.get("--network", network)) for each in found))


def sweep(found: list[Combination], arguments: tuple[str, ...], settings: Settings, say: Say) -> None:
    """Trains once for each combination, as many at once as the cores allow; publishes nothing.

    `arguments` are more options of `digits-train train`, the same for all. Raises TrainingError if a run failed, after
    all others have ended.
    """
    folder = new_folder(settings.runs, f"{datetime.now(UTC):%Y%m%d-%H%M%S}-sweep")
    at_once = runs_at_once(found, settings.network, os.cpu_count() or 1)
    say(f"{len(found)} runs, {at_once} at once, in {folder}")
    waiting = list(enumerate(found, 1))
    running: dict[int, tuple[subprocess.Popen[bytes], Combination]] = {}
    failed: list[str] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, combination = waiting.pop(0)
                running[number] = _start(folder, number, combination, arguments), combination
            for number, (process, combination) in list(running.items()):
                if process.poll() is not None:
                    del running[number]
                    named = " ".join(itertools.chain(*combination.items()))
                    say(f"run {number} of {len(found)} {'done' if not process.returncode else 'FAILED'}: {named}")
                    failed += [named] if process.returncode else []
            time.sleep(POLL_SECONDS)
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, _ in running.values():
            process.wait()
        shutil.rmtree(folder / REPOSITORIES, ignore_errors=True)
    compare.compare_records(compare.records(folder), folder / compare.PICTURE, say)
    if failed:
        raise TrainingError(
            f"{len(failed)} of {len(found)} runs failed; the text files in {folder} say why: {failed[0]}"
        )


def _start(
    folder: Path, number: int, combination: Combination, arguments: tuple[str, ...]
) -> "subprocess.Popen[bytes]":
    """A process that trains without publishing, with its output in a file."""
    # A separate repository: the run finds no checkpoint to resume, and no served model to be compared with.
    repository = folder / REPOSITORIES / str(number)
    options = ["--no-publish", "--runs", str(folder), "--repository", str(repository)]
    varied = itertools.chain(*combination.items())
    command = [sys.executable, "-c", _MAIN, "train", *arguments, *varied, *options]
    with (folder / f"{number:03}.txt").open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
