"""Changes single expressions of the code, and runs fast tests on each change, to find what no test would notice.

mutmut makes the changes, "mutants", and runs the tests, in a copy of the sources. A sample of the mutants is tried,
always the same one: whether a mutant is in it depends on its name alone. mutmut reads its settings from the current
folder when it is imported, so it is imported late.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import redirect_stdout
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("server", "client", "training")
NOTICED = ("killed", "timeout", "segfault")


class Part(NamedTuple):
    """Source files, below `src`, and the tests that must notice changes in them. The tests start no process."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


SERVER, CLIENT, TRAINING = "tests/unit/server/test_", "tests/unit/client/test_", "tests/unit/training/test_training_"
PARTS = {
    "batching": Part(
        ("digits_server/batching/*",),
        (
            *(SERVER + name for name in ("admission*", "batch*", "call_queue*", "queueing*", "waiters*")),
            "tests/unit/server/batching/test_*",
        ),
    ),
    "coalescing": Part(
        (
            "digits_client/_coalescing/calls.py",
            "digits_client/_coalescing/core.py",
            "digits_client/_coalescing/rules.py",
            "digits_client/_coalescing/stats.py",
            "digits_client/_coalescing/tasks.py",
        ),
        (CLIENT + "client_coalesc*", CLIENT + "client_tasks*"),
    ),
    "tflite": Part(
        ("digits_server/runtimes/flatbuffer.py", "digits_server/runtimes/tflite_*"),
        (SERVER + "tflite*", SERVER + "flatbuffer*"),
    ),
    "keras": Part(
        ("digits_training/untrusted/[cfhl]*",),
        (TRAINING + "*configuration*", TRAINING + "files*", TRAINING + "hdf5*", TRAINING + "connections*"),
    ),
    "manifest": Part(
        (
            "digits_server/models/manifests.py",
            "digits_server/models/repository.py",
            "digits_server/models/version_files.py",
            "digits_training/repository/manifest.py",
        ),
        (SERVER + "repository*", SERVER + "changing_repository*", SERVER + "manifest*", TRAINING + "written_manifest*"),
    ),
}
"""The parts of the code that are tried, in the order of the report."""


def lay_out(parts: Iterable[Part], work: Path) -> None:
    """Copies sources and tests to `work`, as mutmut wants to find them."""
    shutil.rmtree(work, ignore_errors=True)
    for package in PACKAGES:
        shutil.copytree(ROOT / package / "src", work / "src", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*pyc"))
    for folder in ("unit", "support"):
        shutil.copytree(ROOT / "tests" / folder, work / "tests" / folder, ignore=shutil.ignore_patterns("*pyc"))
    shutil.copytree(ROOT / "deploy", work / "deploy", ignore=shutil.ignore_patterns("*pyc"))  # conftest.py imports it
    shutil.copy(ROOT / "tests/conftest.py", work / "tests")
    shutil.copy(Path(__file__).with_name("fixtures.py"), work / "tests/unit/conftest.py")
    tests = sorted(
        {str(path.relative_to(work)) for part in parts for one in part.tests for path in work.glob(one + ".py")}
    )
    options: dict[str, object] = {
        "source_paths": ["src"],
        "only_mutate": [f"src/{pattern}" for part in parts for pattern in part.sources],
        "also_copy": ["deploy"],
        "pytest_add_cli_args_test_selection": tests,
        # TensorFlow does not survive that its process is forked; what another process runs is not changed there.
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-k", "not of_this_keras and not brings_the_process_down"],
        # Seconds, times 4, beside what the tests of a mutant take: room for a busy machine. Endless loops end there.
        "timeout_constant": 10.0,
        "timeout_multiplier": 4.0,
        "use_git_change_detection": False,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    pytest_options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    lines += ["[tool.pytest.ini_options]", *(f"{name} = {json.dumps(value)}" for name, value in pytest_options.items())]
    (work / "pyproject.toml").write_text("\n".join(["[tool.mutmut]", *lines]) + "\n")


def sources(parts: Iterable[Part]) -> list[Path]:
    """The source files of the parts, relative to the current folder."""
    return sorted(
        path for part in parts for one in part.sources for path in Path("src").glob(one) if path.suffix == ".py"
    )


def sampled(path: Path, percent: float) -> list[str]:
    """The names of the mutants of a file that are in the sample."""
    share = percent / 100 * 2**32
    return [name for name in outcomes(path) if int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) < share]


def outcomes(path: Path) -> dict[str, str]:
    """What became of each mutant of a file: killed, survived, no tests, timeout or not checked."""
    from mutmut.stats import status_by_exit_code

    codes = json.loads(Path("mutants", f"{path}.meta").read_text())["exit_code_by_key"]
    return {name: status_by_exit_code[code] for name, code in codes.items()}


def report(part_names: list[str], chosen: dict[Path, list[str]]) -> None:
    """Prints every mutant that no test noticed, then the scores by module and by part."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    by_part: dict[str, Counter[str]] = defaultdict(Counter)
    by_module: dict[Path, Counter[str]] = defaultdict(Counter)
    for path, names in chosen.items():
        found = outcomes(path)
        part = next(name for name in part_names if any(fnmatch(str(path), f"src/{one}") for one in PARTS[name].sources))
        for name in names:
            by_part[part][found[name]] += 1
            by_module[path][found[name]] += 1
            if found[name] not in NOTICED:
                print(f"{found[name]}: {name}\n{get_diff_for_mutant(name, path=path)}\n")
    for title, counts in [*by_module.items(), *by_part.items()]:
        total, noticed = counts.total(), sum(counts[status] for status in NOTICED)
        details = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        print(
            f"{str(title).removeprefix('src/'):50} {noticed:4} of {total:4} noticed ({noticed / total:.0%}): {details}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help=f"parts ({', '.join(PARTS)}), or modules as patterns; default: all")
    parser.add_argument("--percent", type=float, default=10, help="size of the sample, in percent of all mutants")
    parser.add_argument("--processes", type=int, default=2, help="mutants that are tried at once")
    parser.add_argument("--repository", type=Path, required=True, help="a model repository with a version 1")
    parser.add_argument("--work", type=Path, required=True, help="a folder to work in, which is emptied first")
    arguments = parser.parse_args()

    part_names = [name for name in PARTS if not arguments.modules or name in arguments.modules] or list(PARTS)
    patterns = [one for one in arguments.modules if one not in PARTS] or ["*"]
    work = arguments.work.resolve()
    os.environ["MUTATION_REPOSITORY"] = str(arguments.repository.resolve())
    lay_out([PARTS[name] for name in part_names], work)
    os.chdir(work)
    Path("mutants").mkdir()
    from mutmut.__main__ import create_mutants
    from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir

    with Path("mutmut.log").open("w") as log, redirect_stdout(log):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(arguments.processes)
    chosen = {
        path: [name for name in sampled(path, arguments.percent) if any(fnmatch(name, f"{one}*") for one in patterns)]
        for path in sources(PARTS[name] for name in part_names)
    }
    names = [name for of_file in chosen.values() for name in of_file]
    if not names:
        sys.exit("no mutant is in the sample: take more of them (--percent), or other modules")
    print(f"{len(names)} mutants", flush=True)
    command: list[str | Path] = [
        Path(sys.executable).with_name("mutmut"),
        "run",
        "--max-children",
        str(arguments.processes),
        *names,
    ]
    with Path("mutmut.log").open("a") as log:
        if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode:
            sys.exit(f"mutmut failed: see {work / 'mutmut.log'}")
    report(part_names, {path: of_file for path, of_file in chosen.items() if of_file})


if __name__ == "__main__":
    main()
