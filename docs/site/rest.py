"""Writes the reference of what is answered over HTTP, from the server's OpenAPI document: Markdown for the site.

python docs/site/rest.py FILE.md
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from digits_server.pages import openapi
from digits_server.settings import Settings

MOST_ELEMENTS = 8
"""Of a list in an example that are shown."""

HEAD = """# HTTP and JSON

For programmers who call the server over HTTP: every path, parameter, message and status, from the OpenAPI document that
a server answers at `/openapi.json`. The tensors are explained in
[The Open Inference Protocol](../docs/open-inference.md). Limits are those of a server with default settings."""

Part = dict[str, Any]


def page(document: Part) -> str:
    """The whole page."""
    parts = [HEAD]
    tags = {tag["name"]: tag["description"] for tag in document["tags"]}
    for name, title in {**tags, "": "The document itself"}.items():
        parts.append(f"## {title}")
        for path, item in document["paths"].items():
            for method in item.keys() - {"parameters"}:
                if (item[method].get("tags") or [""])[0] == name:
                    parts += _operation(document, method, path, item)
    parts.append("## Messages")
    for name, schema in document["components"]["schemas"].items():
        parts += [f"### {name} {{ #{name} }}", schema.get("description", ""), _properties(schema)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _operation(document: Part, method: str, path: str, item: Part) -> Iterator[str]:
    operation = item[method]
    yield f"### {method.upper()} `{path}` {{ #{operation['operationId']} }}"
    yield f"{operation['summary']}." + (" Needs no token." if operation.get("security") == [] else "")
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    if parameters:
        rows = [
            [f"`{each['name']}`", each["in"], _kind(each["schema"]), each.get("description", "")] for each in parameters
        ]
        yield _table(["parameter", "in", "type", "meaning"], rows)
    if asked := operation.get("requestBody"):
        yield f"**Request body.** {asked['description']}"
        yield _table(["content type", "body"], _contents(asked["content"]))
        for content in asked["content"].values():
            for example in content.get("examples", {}).values():
                yield f"{example['summary']}:"
                yield f"```json\n{json.dumps(shortened(example['value']), ensure_ascii=False)}\n```"
    rows = []
    for status, response in sorted(operation["responses"].items()):
        found = document["components"]["responses"][status] if "$ref" in response else response
        body = "; ".join(f"`{kind}` {what}".strip() for kind, what in _bodies(found["content"]))
        rows.append([status, found["description"], body])
    yield _table(["status", "meaning", "body"], rows)


def shortened(value: Any) -> Any:
    """An example without the most of its long lists."""
    if isinstance(value, dict):
        return {name: shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        more = [f"… {len(value):,} in all"] if len(value) > MOST_ELEMENTS else []
        return [shortened(each) for each in value[:MOST_ELEMENTS]] + more
    return value


def _contents(content: Part) -> list[list[str]]:
    return [[f"`{kind}`", what] for kind, what in _bodies(content)]


def _bodies(content: Part) -> Iterator[tuple[str, str]]:
    for kind, each in content.items():
        yield kind, _kind(each["schema"]) if each.get("schema") else ""


def _properties(schema: Part) -> str:
    required = schema.get("required", ())
    rows = [
        [f"`{name}`", "yes" if name in required else "no", _kind(each), each.get("description", "")]
        for name, each in schema.get("properties", {}).items()
    ]
    return _table(["field", "required", "type", "meaning"], rows) if rows else ""


def _kind(schema: Part) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(each)}`" for each in schema["enum"])
    kinds = schema.get("type", "any")
    words = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if "properties" in schema:
        inner = (f"`{name}` ({_kind(each)})" for name, each in schema["properties"].items())
        words = f"object with {', '.join(inner)}"
    if "items" in schema:
        words = f"{words} of {_kind(schema['items'])}"
    if "format" in schema:
        words = f"{words}, {schema['format']}"
    return words + _bounds(schema)


def _bounds(schema: Part) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None:
        return ""
    return f", {least:,} to {most:,}" if most is not None else f", at least {least:,}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(openapi.document(Settings())), encoding="utf-8")
