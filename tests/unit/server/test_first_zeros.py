"""Counters of failures begin at 0: Prometheus sees no increase in a series that begins at 1."""

import ast
from pathlib import Path

import digits_server
from digits_server.errors import ServingError
from digits_server.observability.metrics import REJECTION_CAUSES, Metrics
from digits_server.observability.rejection_counts import REASONS


def kinds(of: type[ServingError]) -> list[type[ServingError]]:
    return [of, *(kind for child in of.__subclasses__() for kind in kinds(child))]


def test_every_cause_that_the_code_names_is_on_the_page_from_the_start() -> None:
    named = set()
    for file in Path(digits_server.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ModelRejected":
                named |= {each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)}
    assert {"manifest", "crash"} <= named
    assert named <= set(REJECTION_CAUSES)
    page = Metrics().registry
    for cause in REJECTION_CAUSES:
        assert page.get_sample_value("digits_model_load_failures_total", {"reason": cause}) == 0


def test_every_reason_of_an_error_is_on_the_page_from_the_start() -> None:
    assert {kind.reason for kind in kinds(ServingError)} <= set(REASONS)
    page = Metrics().registry
    for reason in REASONS:
        assert page.get_sample_value("digits_rejected_total", {"reason": reason}) == 0
