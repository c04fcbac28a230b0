"""/openapi.json describes every route for programs, and the server answers as described."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
from support.calls.open_inference import CLIENTS
from support.servers.process import ServerProcess

from digits_server.pages import openapi, playground, report
from digits_server.pages import openapi_schemas as schemas
from digits_server.pages.open_inference import OpenInferenceRoutes
from digits_server.settings import Settings

FILE = Path(__file__).parents[2].joinpath("docs/digit.png").read_bytes()
INFER = "/v2/models/digits/infer"
IMAGE = json.dumps(schemas.INFER_EXAMPLES["pixels"]["value"]).encode()
JSON = {"content-type": "application/json"}
PNG = {"content-type": "image/png"}
SECONDS = 60.0
"""Deadline of the linter."""

Document = dict[str, Any]


@pytest.fixture(scope="module")
def described(server: ServerProcess) -> Document:
    return cast(Document, json.loads(server.get("/openapi.json")[1]))


def ask(
    url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str, bytes]:
    """Status, media type and body of an answer."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers.get_content_type(), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get_content_type(), error.read()


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            yield path, method, item[method]


def holds(document: Document, operation: Document, status: int, kind: str, body: bytes) -> None:
    """Checks that the document describes this answer."""
    response = operation["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][kind].get("schema")
    if kind == "application/json" and schema:
        import jsonschema  # takes five seconds, which every process of a test run would spend to collect the tests

        jsonschema.validate(json.loads(body), {**schema, "components": document["components"]})


def references(part: Any) -> Iterator[str]:
    """Every $ref in a part of a document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_route_is_in_the_document_and_every_path_of_it_is_a_route() -> None:
    any_of: Any = Mock()
    routes = [
        *OpenInferenceRoutes(any_of, any_of, any_of, any_of, 1.0).routes(),
        *playground.routes(any_of, any_of, any_of, 1.0),
        *report.routes(any_of, any_of),
        *openapi.routes(Settings()),
    ]
    not_for_programs = {"/": "the page", "/v2/": "/v2 once more", "/v2/{rest:path}": "what is not there"}
    served = {
        (route.path.replace(":int", ""), method.lower())
        for route in routes
        for method in route.methods
        if method != "HEAD" and route.path not in not_for_programs
    }
    assert served == {(path, method) for path, method, _ in operations(openapi.document(Settings()))}


def test_without_the_page_its_routes_are_not_described() -> None:
    paths = openapi.document(Settings(page=False))["paths"]
    assert all(path.startswith("/v2") or path == "/openapi.json" for path in paths)


@pytest.mark.parametrize("settings", [Settings(), Settings(page=False, tokens=Path("tokens"))])
def test_the_document_is_well_formed(settings: Settings) -> None:
    """Its schemas are valid, its references exist, parameters of paths are declared, names are unique."""
    import jsonschema

    document = openapi.document(settings)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)

    for reference in references(document):
        root, components, kind, name = reference.split("/")
        assert (root, components) == ("#", "components")
        assert name in document["components"][kind]
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for path, item in document["paths"].items():
        assert {part[1:-1] for part in path.split("/") if part.startswith("{")} == {
            each["name"] for each in item.get("parameters", ())
        }
    for path, method, operation in operations(document):
        assert "200" in operation["responses"], (path, method)
        assert operation["summary"]
    assert document["security"] == ([{"bearer": []}] if settings.tokens else [])


def test_a_linter_of_openapi_finds_nothing(tmp_path: Path) -> None:
    written = tmp_path / "openapi.json"
    written.write_text(json.dumps(openapi.document(Settings())))
    lint: list[str | Path] = [CLIENTS / "bin/openapi-spec-validator", written]
    ended = subprocess.run(lint, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    broken = json.loads(written.read_text())
    del broken["info"]["title"]
    written.write_text(json.dumps(broken))
    ended = subprocess.run(lint, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode != 0


def test_each_operation_is_answered_as_described(server: ServerProcess, described: Document) -> None:
    examples = {"name": "digits", "version": "1"}
    for path, method, operation in operations(described):
        filled = path.replace("{version}", "1").replace(
            "{name}", "history.png" if "report" in path else examples["name"]
        )
        if method == "get":
            answers = [ask(server.http + filled)]
        else:
            content = operation["requestBody"]["content"]
            bodies = [
                json.dumps(example["value"]).encode()
                for example in content.get("application/json", {}).get("examples", {}).values()
            ]
            answers = [ask(server.http + filled, "POST", body, JSON) for body in bodies or []]
            answers += [] if bodies else [ask(server.http + filled, "POST", FILE, PNG)]
        assert answers
        for status, kind, body in answers:
            assert status == 200, (path, body)
            holds(described, operation, status, kind, body)


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (400, (INFER, "post", b"{}", JSON)),
        (400, ("/predict", "post", b"no picture", PNG)),
        (403, ("/model", "get", None, {"origin": "http://attacker.example"})),
        (404, ("/v2/models/digits/versions/9/infer", "post", IMAGE, JSON)),
        (404, ("/v2/models/cats", "get", None, {})),
        (404, ("/model/9/report/history.png", "get", None, {})),
        (405, ("/predict", "get", None, {})),
        (413, ("/predict", "post", bytes(4 * 1024 * 1024 + 1), PNG)),
        (415, ("/predict", "post", FILE, {"content-type": "text/plain"})),
        (415, (INFER, "post", b"{}", {**JSON, "content-encoding": "gzip"})),
        (421, ("/v2", "get", None, {"host": "attacker.example"})),
    ],
)
def test_each_error_is_one_that_is_described(
    server: ServerProcess, described: Document, status: int, asked: tuple[str, str, bytes | None, dict[str, str]]
) -> None:
    path, method, body, headers = asked
    answer = ask(server.http + path, method.upper(), body, headers)
    assert answer[0] == status
    pattern = path.replace("/9", "/{version}")
    pattern = pattern.replace("history.png", "{name}").replace("/digits", "/{name}").replace("/cats", "/{name}")
    operation = described["paths"][pattern]
    holds(described, operation.get(method) or next(iter(operation.values())), *answer)


def test_the_limits_and_the_tokens_of_this_server_are_in_it(repository: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-a-caller-4dAq1")
    flags: list[str | Path] = ["--max-message-bytes", "70000", "--tokens", tokens]
    with ServerProcess("--repository", repository, *flags) as server:
        server.wait_ready()
        assert ask(f"{server.http}/openapi.json")[0] == 401
        answer = ask(f"{server.http}/openapi.json", headers={"authorization": f"Bearer {tokens.read_text()}"})
    document = json.loads(answer[2])
    assert document["security"] == [{"bearer": []}]
    assert document["paths"]["/predict"]["post"]["requestBody"]["content"]["image/png"]["schema"]["maxLength"] == 70000
    assert document["paths"]["/v2/health/ready"]["get"]["security"] == []
