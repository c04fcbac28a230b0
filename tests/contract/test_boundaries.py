"""The boundaries of packages: which may import which, and which dependencies the client must not have."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"digits_training": "training", "digits_server": "server", "digits_client": "client"}
DOORS = {ROOT / "training/src/digits_training/data/formats/pictures.py"}
"""Files that may import another package, because training and serving must see the same pixels."""


def imports(folder: Path) -> set[str]:
    """The top-level names of every import statement below `folder`, at any place."""
    return set().union(*map(imports_of, folder.rglob("*.py")))


def imports_of(path: Path) -> set[str]:
    """The same for one file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_the_stubs_and_nothing_of_the_others(package: str) -> None:
    folder = ROOT / PACKAGES[package] / "src"
    assert "digits" in imports(folder)
    importing = {path: imports_of(path) & (PACKAGES.keys() - {package}) for path in folder.rglob("*.py")}
    assert {path: others for path, others in importing.items() if others and path not in DOORS} == {}


def test_the_training_job_imports_the_server_in_one_file_and_only_its_pictures() -> None:
    (door,) = DOORS
    assert rooms_imported(door, "digits_server") == {"errors", "pictures"}
    extras = tomllib.loads((ROOT / "training/pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name for name, needed in extras.items() if "digits-server==0.1.0" in needed} == {"pictures", "parquet"}


ROOMS = {
    "digits_server": (
        *(
            "errors",
            "setting_types",
            "settings",
            "flags",
            "system",
            "runtimes",
            "pictures",
            "batching",
            "observability",
            "sandbox",
        ),
        *("models", "serving", "service", "security", "open_inference", "rpcs", "web", "observers", "transports"),
        *("workers", "pages", "app", "commands", "__main__"),
    ),
    "digits_training": (
        *("errors", "settings", "data", "networks", "evaluation", "fitting", "untrusted", "importing", "own_network"),
        *("repository", "conversion", "runs", "jobs", "cli", "__main__"),
    ),
}
"""The rooms of a package and what stands beside them, each after all that it may import."""


@pytest.mark.parametrize("package", ROOMS)
def test_a_room_imports_only_rooms_before_it(package: str) -> None:
    folder, rooms = ROOT / PACKAGES[package] / "src" / package, ROOMS[package]
    found = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert found - {"__init__"} == set(rooms)
    upwards = [
        f"{path.relative_to(folder)} imports {room}"
        for path in folder.rglob("*.py")
        if path != folder / "__init__.py"
        for room in rooms_imported(path, package)
        if rooms.index(room) > rooms.index(path.relative_to(folder).parts[0].removesuffix(".py"))
    ]
    assert upwards == []


@pytest.mark.parametrize(
    "room", sorted((ROOT / "training/src/digits_training").rglob("__init__.py")), ids=lambda path: path.parent.name
)
def test_a_room_of_the_training_job_has_about_ten_files_and_a_sentence_at_its_door(room: Path) -> None:
    assert len(list(room.parent.glob("*.py"))) <= 11
    assert ast.get_docstring(ast.parse(room.read_text()))


def rooms_imported(path: Path, package: str) -> set[str]:
    """The rooms of `package` that a file imports, wherever in it."""
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            names = (node.module or "").split(".")[1:2]
            rooms |= set(names or [alias.name for alias in node.names])
    return rooms


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_depends_on_the_stubs_and_on_no_other_package_of_ours(package: str) -> None:
    project = tomllib.loads((ROOT / PACKAGES[package] / "pyproject.toml").read_text())["project"]
    ours = {name.split("==")[0] for name in project["dependencies"] if name.startswith("digits-")}
    assert ours == {"digits-proto"}


def test_the_client_depends_on_grpcio_protobuf_and_numpy_only() -> None:
    project = tomllib.loads((ROOT / "client/pyproject.toml").read_text())["project"]
    names = {dependency.split(">=")[0].split("==")[0] for dependency in project["dependencies"]}
    assert names == {"digits-proto", "grpcio", "numpy", "protobuf"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("digits_client", ["tensorflow", "keras", "ai_edge_litert", "PIL", "prometheus_client", "opentelemetry"]),
        ("digits_server.app", ["tensorflow", "keras", "matplotlib"]),
        ("digits_server.workers.supervisor", ["grpc", "numpy", "ai_edge_litert", "prometheus_client", "starlette"]),
        ("digits_training.cli", ["tensorflow", "keras", "matplotlib"]),
    ],
)
def test_importing_does_not_load_unneeded_modules(module: str, unwanted: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {unwanted} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.strip() == "[]"


def test_the_server_image_installs_no_tensorflow() -> None:
    locked = (ROOT / "requirements/server.txt").read_text()
    assert "ai-edge-litert==" in locked
    assert not any(line.startswith(("tensorflow", "keras")) for line in locked.splitlines())


def locked_packages(name: str) -> set[str]:
    """The lines of requirements/`name` that name a package and its version."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return {line for line in lines if "==" in line and line[0].isalpha()}


def test_make_run_trains_with_the_packages_of_the_training_job_but_those_it_never_loads() -> None:
    assert not locked_packages("run.txt") & locked_packages("tensorflow.txt"), "installed once"
    missing = locked_packages("training.txt") - locked_packages("run.txt") - locked_packages("tensorflow.txt")
    assert {line.partition("==")[0] for line in missing} == {"libclang"}


def test_make_run_installs_no_tensorflow_and_no_tools_of_development() -> None:
    names = {line.partition("==")[0] for line in locked_packages("run.txt")}
    assert {"ai-edge-litert", "grpcio", "hatchling"} <= names
    assert not names & {"tensorflow", "tensorflow-cpu", "keras", "matplotlib", "ruff", "mypy", "pytest", "playwright"}


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_lock_files_name_no_host(path: Path) -> None:
    assert "://" not in path.read_text()
