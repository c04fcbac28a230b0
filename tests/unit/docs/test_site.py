"""The site of the documentation: its reference is complete, and its check finds what is broken."""

import re
from pathlib import Path

import pytest
from support.public_names import public_names

import digits_client
from digits_client import testing
from digits_server.pages import openapi
from digits_server.settings import Settings
from docs.site import check, protos, rest

ROOT = Path(__file__).parents[3]
SITE = ROOT / "docs/site"


def test_the_reference_of_the_client_has_every_public_name() -> None:
    page = (SITE / "pages/reference/client.md").read_text()
    named = re.findall(r"^::: digits_client\.([A-Za-z]\w*)$", page, re.MULTILINE)
    assert sorted(named) == sorted(digits_client.__all__)
    named = re.findall(r"^::: digits_client\.testing\.(\w+)$", page, re.MULTILINE)
    assert sorted(named) == sorted(testing.__all__)


def test_the_reference_of_the_protos_has_every_rpc_and_field() -> None:
    page = protos.page()
    for service, methods in public_names()["rpcs"].items():
        assert f"{{ #{service} }}" in page
        assert all(f"| `{method}` |" in page for method in methods)
    for message, fields in public_names()["fields"].items():
        section = page.partition(f"{{ #{message} }}")[2].partition("\n### ")[0]
        numbers = {name: shape.partition(":")[0] for name, shape in fields.items()}
        assert all(f"| {number} | `{name}` | " in section for name, number in numbers.items()), message


def test_the_reference_of_the_protos_shows_comments_as_they_stand() -> None:
    assert "N × 784 bytes: N images of 28 × 28, row-major" in protos.page()
    assert protos.escaped("the file <name> and `a_b`") == r"the file \<name> and `a_b`"


def test_the_reference_over_http_has_every_operation_and_message() -> None:
    document = openapi.document(Settings())
    page = rest.page(document)
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            heading = f"### {method.upper()} `{path}` {{ #{item[method]['operationId']} }}"
            section = page.partition(heading)[2].partition("\n### ")[0]
            assert all(f"| {status} | " in section for status in item[method]["responses"]), path
    assert all(f"### {name} {{ #{name} }}" in page for name in document["components"]["schemas"])
    assert "784 in all" in page


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<a href="b.html#there">b</a>', None),
        ('<a href="https://example.org/">elsewhere</a>', None),
        ('<img src="data:image/png;base64,AA==">', None),
        ('<a href="c.html">c</a>', "a.html: c.html leads to no file"),
        ('<a href="b.html#absent">b</a>', "a.html: b.html#absent leads to no anchor"),
        ('<a href="#absent">a</a>', "a.html: #absent leads to no anchor"),
        ('<img src="absent.png">', "a.html: absent.png leads to no file"),
        ('<script src="https://example.org/x.js"></script>', "a.html: fetches https://example.org/x.js from elsewhere"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "a.html: fetches //example.org/x.css from elsewhere"),
    ],
)
def test_the_check_finds_what_leads_nowhere_or_comes_from_elsewhere(
    tmp_path: Path, html: str, fault: str | None
) -> None:
    (tmp_path / "a.html").write_text(html)
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    assert check.faults(tmp_path) == ([fault] if fault else [])


def test_the_check_of_a_folder_without_pages_fails(tmp_path: Path) -> None:
    assert check.faults(tmp_path) == [f"{tmp_path}: there is no page"]
