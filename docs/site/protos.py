"""Writes the reference of the protos, from their own comments: Markdown for the site.

python docs/site/protos.py FILE.md
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

PROTO = Path(__file__).resolve().parents[2] / "proto"

COMPILER = PROTO.parent / ".venv/stubs/bin/protoc"
"""Of the environment that compiles the stubs."""
MESSAGE, ENUM, SERVICE = 4, 5, 6
"""Numbers of fields of a FileDescriptorProto, which the places of comments begin with."""

FIELD, NESTED, NESTED_ENUM, METHOD, VALUE = 2, 3, 4, 2, 2
"""The same inside of a message, a service and an enum."""

FIRST_LINE = (12,)
"""The place of `syntax = …`, above which stands what a file is about."""

Place = tuple[int, ...]


def files() -> list[FileDescriptorProto]:
    """Every .proto of the project with its comments, that of the service first."""
    protos = sorted((path.relative_to(PROTO).as_posix() for path in PROTO.glob("digits/**/*.proto")), reverse=True)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "protos"
        options = [f"--proto_path={PROTO}", "--include_source_info", f"--descriptor_set_out={written}"]
        subprocess.run([COMPILER, *options, *protos], check=True)
        return list(FileDescriptorSet.FromString(written.read_bytes()).file)


class Reference:
    """The text of one file."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments = {
            tuple(each.path): "\n".join(line.removeprefix(" ") for line in each.leading_comments.strip().split("\n"))
            for each in file.source_code_info.location
            if each.leading_comments
        }
        first = next(each for each in file.source_code_info.location if tuple(each.path) == FIRST_LINE)
        self._head = "\n\n".join([*first.leading_detached_comments, first.leading_comments])

    def text(self) -> str:
        parts = [f"## {self._file.name}", escaped(self._head.strip()), f"Package `{self._file.package}`."]
        for number, service in enumerate(self._file.service):
            parts += self._service(service, (SERVICE, number))
        for number, message in enumerate(self._file.message_type):
            parts += self._message(message, (MESSAGE, number), self._file.package)
        for number, enum in enumerate(self._file.enum_type):
            parts += self._enum(enum, (ENUM, number), self._file.package)
        return "\n\n".join(part for part in parts if part)

    def _service(self, service: ServiceDescriptorProto, place: Place) -> Iterator[str]:
        yield self._heading(f"service {service.name}", f"{self._file.package}.{service.name}")
        yield self._comment(place)
        rows = []
        for number, method in enumerate(service.method):
            asked = "a stream of " * method.client_streaming + _link(method.input_type)
            answered = "a stream of " * method.server_streaming + _link(method.output_type)
            rows.append([f"`{method.name}`", asked, answered, self._cell((*place, METHOD, number))])
        yield _table(["RPC", "request", "response", "meaning"], rows)

    def _message(self, message: DescriptorProto, place: Place, scope: str) -> Iterator[str]:
        if message.options.map_entry:
            return
        name = f"{scope}.{message.name}"
        yield self._heading(name.removeprefix(f"{self._file.package}."), name)
        yield self._comment(place)
        maps = {f".{name}.{each.name}": each for each in message.nested_type if each.options.map_entry}
        rows = [
            [str(field.number), f"`{field.name}`", _type(field, maps), self._cell((*place, FIELD, number))]
            for number, field in enumerate(message.field)
        ]
        yield _table(["number", "field", "type", "meaning"], rows) if rows else ""
        for number, inner in enumerate(message.nested_type):
            yield from self._message(inner, (*place, NESTED, number), name)
        for number, enum in enumerate(message.enum_type):
            yield from self._enum(enum, (*place, NESTED_ENUM, number), name)

    def _enum(self, enum: EnumDescriptorProto, place: Place, scope: str) -> Iterator[str]:
        name = f"{scope}.{enum.name}"
        yield self._heading(f"enum {name.removeprefix(f'{self._file.package}.')}", name)
        yield self._comment(place)
        rows = [
            [str(value.number), f"`{value.name}`", self._cell((*place, VALUE, number))]
            for number, value in enumerate(enum.value)
        ]
        yield _table(["number", "value", "meaning"], rows)

    def _heading(self, title: str, name: str) -> str:
        return f"### {title} {{ #{name} }}"

    def _comment(self, place: Place) -> str:
        return escaped(self._comments.get(place, ""))

    def _cell(self, place: Place) -> str:
        return self._comment(place).replace("\n", " ").replace("|", "\\|")


def escaped(comment: str) -> str:
    """A comment as Markdown that shows it as it stands; what is in backticks is left alone."""
    parts = re.split(r"(`[^`]*`)", comment)
    return "".join(part if part[:1] == "`" else re.sub(r"([<_*\[\]])", r"\\\1", part) for part in parts)


def _type(field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    if entry := maps.get(field.type_name):
        key, value = entry.field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    name = _link(field.type_name) if field.type_name else FieldDescriptorProto.Type.Name(field.type)[5:].lower()
    if field.proto3_optional:
        return f"optional {name}"
    return f"repeated {name}" if field.label == FieldDescriptorProto.LABEL_REPEATED else name


def _link(name: str) -> str:
    """A message or enum by its full name; those of other projects are on no page of ours."""
    full = name.removeprefix(".")
    return full if full.startswith("google.") else f"[{full.rpartition('.')[2]}](#{full})"


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def page() -> str:
    head = (
        "# The protos\n\nFor programmers who call the server over gRPC, or read `manifest.json`: every RPC, message "
        "and field, from the protos and their comments. How to call is in [Calling the server](../docs/calling.md)."
    )
    return "\n\n".join([head, *(Reference(file).text() for file in files())]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
