"""The public surface of the client: its names, its types, its output, the cost of its import."""

import ast
import importlib.metadata
import inspect
import re
import subprocess
import sys
import textwrap
import typing
from pathlib import Path
from types import ModuleType

import pytest
from support.servers.process import ServerProcess

import digits_client
from digits_client import AsyncClient, Client, DigitsError

ROOT = Path(__file__).parents[2]


def test_all_is_exactly_what_is_exported() -> None:
    public = {
        name
        for name, value in vars(digits_client).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert sorted(public) == sorted(digits_client.__all__)


def test_every_module_is_private_except_the_command_the_metrics_and_the_test_helpers() -> None:
    package = Path(digits_client.__file__).parent
    modules = {path.stem for path in (*package.glob("*.py"), *package.glob("*/"))}
    assert {name for name in modules if not name.startswith("_")} == {"cli", "metrics", "testing"}


def test_the_package_is_typed() -> None:
    assert Path(digits_client.__file__).with_name("py.typed").exists()


def test_both_clients_have_one_vocabulary() -> None:
    def vocabulary(client: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for layer in layers(client)
            for name, method in vars(layer).items()
            if callable(method) and (not name.startswith("_") or name == "__init__")
        }

    assert vocabulary(Client) == vocabulary(AsyncClient)


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    documented = sys.modules[DigitsError.__module__].__doc__ or ""
    drawn = dict(re.findall(r"[├└]── (\w+) +([A-Z_]{5,}|any other status)", documented))
    errors = {
        name: getattr(digits_client, name)
        for name in digits_client.__all__
        if isinstance(kind := getattr(digits_client, name), type)
        and issubclass(kind, DigitsError)
        and name != "DigitsError"
    }
    assert errors.keys() <= drawn.keys()
    for name, status in drawn.items():
        assert status in (errors[name].status.name, "any other status")


def test_the_example_of_the_readme_runs_as_pasted(server: ServerProcess) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(example.splitlines()) <= 12
    code = example.replace("localhost:50051", server.target)
    assert code != example
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"\d \(\d+\.\d%, model version 1\)\n", done.stdout)


@pytest.mark.parametrize("option", ["", "-O"])
def test_importing_warns_of_nothing(option: str) -> None:
    command = [sys.executable, *option.split(), "-W", "error", "-c", "import digits_client"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=True).stderr == b""


def layers(client: type) -> tuple[type, ...]:
    """The class of a client, and those of which it has methods."""
    return client.__mro__[:-1]


def annotations_of(layer: type) -> set[str]:
    """Every name in the annotations of the public methods of one class, as they are written."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(layer)))
    methods = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (not node.name.startswith("_") or node.name == "__init__")
    ]
    written = [
        argument.annotation
        for method in methods
        for argument in (*method.args.args, *method.args.kwonlyargs)
        if argument.annotation
    ] + [method.returns for method in methods if method.returns]
    return {node.id for annotation in written for node in ast.walk(annotation) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_every_type_in_a_signature_can_be_imported_from_the_package(client: type) -> None:
    imported = {
        alias.name
        for layer in layers(client)
        for node in ast.walk(ast.parse(Path(inspect.getfile(layer)).read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("digits_client._")
        for alias in node.names
    }
    ours = set().union(*map(annotations_of, layers(client))) & imported
    assert {"Image", "Metadata", "ModelInfo", "Retries", "Sizes", "Stats", "Token", "Pem"} <= ours
    assert ours <= set(digits_client.__all__)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_the_types_of_every_signature_can_be_looked_up_at_run_time(client: type) -> None:
    for layer in layers(client):
        for name, method in vars(layer).items():
            if callable(method) and (not name.startswith("_") or name == "__init__"):
                typing.get_type_hints(method)


def test_the_version_is_that_of_the_distribution() -> None:
    assert digits_client.__version__ == importlib.metadata.version("digits-client")
