"""FlatBuffers written by hand, at the exact bounds of what is read."""

import struct
from collections.abc import Sequence

import pytest

from digits_server.runtimes import flatbuffer
from digits_server.runtimes.flatbuffer import MAX_DEPTH, Absent, Malformed, Scalar, Schema, Table, Text, Union, Vector

SCHEMA: Schema = {
    "A": {
        "x": Scalar("i"),
        "text": Text(),
        "child": Table("A"),
        "bytes": Vector(Scalar("B")),
        "numbers": Vector(Scalar("i")),
        "kind": Scalar("B"),
        "choice": Union("kind", {1: "A"}),
        "children": Vector(Table("A")),
        "texts": Vector(Text()),
        "absent": Absent(),
    }
}
FIELDS = list(SCHEMA["A"])


def buffer(rest: bytes, *fields: str, size: int | None = None, layout: Sequence[int] = ()) -> bytes:
    """A buffer of one table, whose fields have 4 bytes each in the order given; `rest` is all that follows its start.

    size    bytes of the table, as it says; by default those of its fields
    layout  entries for further fields, which are not in the schema
    """
    entries = [4 + 4 * fields.index(field) if field in fields else 0 for field in FIELDS] + list(layout)
    length = 4 + 2 * len(entries)
    size = 4 + 4 * len(fields) if size is None else size
    start = 8 + length
    assert start % 4 == 0
    numbers = struct.pack(f"<HH{len(entries)}H", length, size, *entries)
    return struct.pack("<I4s", start, b"TEST") + numbers + struct.pack("<i", length) + rest


def read(data: bytes) -> flatbuffer.Values:
    return flatbuffer.read(data, b"TEST", SCHEMA, "A")


def refusal(data: bytes) -> str:
    with pytest.raises(Malformed) as caught:
        read(data)
    return str(caught.value)


def u32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


OUTSIDE = "it has an offset that leads outside the file"


def test_the_fields_that_are_there_are_read_and_no_others() -> None:
    assert read(buffer(b"")) == {}
    assert read(buffer(struct.pack("<i", -7), "x")) == {"x": -7}
    assert read(buffer(u32(5, 1), "x", "kind")) == {"x": 5, "kind": 1}


def test_a_buffer_of_another_kind_is_refused() -> None:
    assert refusal(b"\0\0\0\0tEST") == "it is not a file of the kind TEST: bytes 4 to 7 differ"


def test_a_number_ends_with_its_table_and_with_the_buffer() -> None:
    assert refusal(buffer(u32(5), "x", size=7)) == "A.x lies outside its table"
    assert refusal(buffer(b"\5\0\0", "x")) == OUTSIDE


def test_a_field_that_the_schema_lacks_may_only_be_left_out() -> None:
    assert read(buffer(b"", layout=[0, 0])) == {}
    assert refusal(buffer(u32(1), layout=[0, 4])) == "A has an unknown field"


def test_a_field_that_must_not_be_there_is_refused_by_name() -> None:
    assert refusal(buffer(u32(1), "absent")) == "A.absent is not allowed"


@pytest.mark.parametrize(("length", "size"), [(2, 4), (5, 4), (4, 3)])
def test_a_table_has_a_layout_of_whole_entries(length: int, size: int) -> None:
    data = struct.pack("<I4sHHi", 12, b"TEST", length, size, 4)
    assert refusal(data) == "it has a table without a layout"
    assert read(struct.pack("<I4sHHi", 12, b"TEST", 4, 4, 4)) == {}


def test_a_layout_that_lies_before_the_buffer_is_refused() -> None:
    assert refusal(struct.pack("<I4sHHi", 12, b"TEST", 4, 4, 16)) == OUTSIDE


def test_a_table_at_an_odd_place_is_refused() -> None:
    assert refusal(struct.pack("<I4sHHxi", 13, b"TEST", 4, 4, 5)) == "it has a number at a misaligned offset"


def test_a_text_ends_with_a_zero_within_the_buffer() -> None:
    assert read(buffer(u32(4, 2) + b"ab\0", "text")) == {"text": b"ab"}
    assert read(buffer(u32(4, 0) + b"\0", "text")) == {"text": b""}
    assert refusal(buffer(u32(4, 2) + b"abc", "text")) == "it has a text without an end"
    assert refusal(buffer(u32(4, 2) + b"ab", "text")) == OUTSIDE
    assert refusal(buffer(u32(4, 0) + b"\0", "text", size=7)) == "A.text lies outside its table"


def test_a_list_of_numbers_ends_within_the_buffer() -> None:
    assert bytes(read(buffer(u32(4, 3) + b"abc", "bytes"))["bytes"]) == b"abc"
    assert refusal(buffer(u32(4, 4) + b"abc", "bytes")) == OUTSIDE
    assert bytes(read(buffer(u32(4, 2, 7, 8), "numbers"))["numbers"]) == u32(7, 8)
    assert refusal(buffer(u32(4, 2, 7) + b"\0\0\0", "numbers")) == OUTSIDE
    assert refusal(buffer(u32(4, 0), "numbers", size=7)) == "A.numbers lies outside its table"


def test_numbers_stand_at_places_that_their_width_divides() -> None:
    schema: Schema = {"A": {"wide": Vector(Scalar("q"))}}

    def of(count: int, padding: int) -> flatbuffer.Values:
        head = struct.pack("<I4sHHH2xiI", 16, b"TEST", 6, 8, 4, 8, 4 + padding)
        return flatbuffer.read(head + bytes(padding) + u32(count) + bytes(8 * count), b"TEST", schema, "A")

    assert len(of(1, 4)["wide"]) == 8
    assert len(of(0, 0)["wide"]) == 0
    with pytest.raises(Malformed, match=r"^it has numbers at a misaligned offset$"):
        of(1, 0)


def test_a_list_of_texts_or_tables_is_read_one_by_one() -> None:
    assert read(buffer(u32(4, 2, 8, 12, 1) + b"a\0\0\0" + u32(1) + b"b\0", "texts"))["texts"] == [b"a", b"b"]
    assert refusal(buffer(u32(4, 2, 8), "texts")) == OUTSIDE


def nested(depth: int) -> bytes:
    """Tables inside tables, `depth` of them, that share one layout."""
    length = 4 + 2 * len(FIELDS)
    entries = [4 if field == "child" else 0 for field in FIELDS]
    data = struct.pack("<I4s", 8 + length, b"TEST") + struct.pack(f"<HH{len(entries)}H", length, 8, *entries)
    for _ in range(depth - 1):
        data += struct.pack("<iI", len(data) - 8, 4)
    last = struct.pack("<HH", 4, 4)
    return data + struct.pack("<i", -4) + last


def test_tables_may_be_nested_as_deep_as_the_limit() -> None:
    found, depth = read(nested(MAX_DEPTH)), 1
    while found:
        found, depth = found["child"], depth + 1
    assert depth == MAX_DEPTH
    assert refusal(nested(MAX_DEPTH + 1)) == "it has too many tables"


def brothers(count: int) -> bytes:
    """A table with a list of `count` references to one empty table, whose layout comes last."""
    places = range(8, 8 + 4 * count, 4)
    end = 8 + 4 * count
    return buffer(u32(4, count) + u32(*(end - place for place in places)) + struct.pack("<iHH", -4, 4, 4), "children")


def test_as_many_tables_as_the_limit_are_read_however_they_are_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatbuffer, "MAX_TABLES", 40)
    assert read(brothers(39)) == {"children": [{}] * 39}  # depth counts no brothers
    assert refusal(brothers(40)) == "it has too many tables"
    monkeypatch.setattr(flatbuffer, "MAX_TABLES", 3)
    assert read(nested(3)) == {"child": {"child": {}}}
    assert refusal(nested(4)) == "it has too many tables"


def test_which_table_a_union_holds_is_said_before_it() -> None:
    data = u32(1, 4) + struct.pack("<iHH", -4, 4, 4)
    assert read(buffer(data, "kind", "choice")) == {"kind": 1, "choice": {}}
    assert refusal(buffer(b"\2" + data[1:], "kind", "choice")) == "A.choice is of a kind that is not allowed"
    assert refusal(buffer(data[4:], "choice")) == "A.choice is of a kind that is not allowed"
