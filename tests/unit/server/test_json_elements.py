"""Numbers in JSON: read in pieces, they have the same values as with any JSON parser."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_server.errors import InvalidRequest
from digits_server.open_inference import json_elements
from digits_server.open_inference.json_elements import CUT, JsonElements, without_data

SHAPES = ((28, 28), (784,), (28, 28, 1), (1, 28, 28))
SPACE = st.text(" \t\r\n", max_size=3)
NUMBERS = st.integers(-300, 300) | st.floats(width=32, allow_nan=False, allow_infinity=False)


def spaced(text: str, data: st.DataObject) -> bytes:
    """The same JSON with white space between its tokens, chosen at random for some of them."""
    gaps = [data.draw(SPACE) for _ in range(4)]
    for mark in "[],":
        gap = data.draw(st.sampled_from(gaps))
        text = text.replace(mark, gap + mark + gap)
    return text.encode()


@given(data=st.data(), shape=st.sampled_from(SHAPES), count=st.integers(1, 3), nested=st.booleans())
def test_numbers_are_read_as_any_reader_does(
    data: st.DataObject, shape: tuple[int, ...], count: int, nested: bool
) -> None:
    pattern = np.resize(np.array(data.draw(st.lists(NUMBERS, min_size=1, max_size=30)), np.float64), count * 784)
    written = json.dumps((pattern.reshape(count, *shape) if nested else pattern).tolist())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_elements, "PIECE_BYTES", data.draw(st.integers(1, 5_000)))
        read = JsonElements(spaced(written, data)).numbers("images", (count, *shape))
    np.testing.assert_array_equal(read, pattern.astype(np.float32))


@given(data=st.data(), nested=st.booleans())
def test_a_character_changed_is_never_read_as_something_else(data: st.DataObject, nested: bool) -> None:
    """Either the change is refused, or the result is valid JSON that every parser reads in the same way."""
    values = np.arange(784).reshape((1, 28, 28)) if nested else np.arange(784)
    text = bytearray(json.dumps(values.tolist()).encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at : at + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from([b"[", b"]", b",", b"]],[[", b"1", b" "]))
    try:
        read = JsonElements(bytes(text)).numbers("images", (1, 28, 28))
    except InvalidRequest:
        return
    np.testing.assert_array_equal(read, np.array(json.loads(text), np.float32).ravel())


FILES = ["QUFB+/==", "", "A" * 40]
NAMES = st.sampled_from(["name", "datatype", "shape", "parameters", "unknown"])
OTHERS = st.sampled_from(["images", 'a "quoted" word', [1, 784], {"data": 1, "x": [{}]}, None, True, 1.5])


@given(data=st.data(), others=st.dictionaries(NAMES, OTHERS), element=st.sampled_from([1, 2.5, [[[7], [8]]], *FILES]))
def test_data_that_is_cut_out_is_the_same_for_every_parser(
    data: st.DataObject, others: dict[str, object], element: object
) -> None:
    """At any place of the data in a large request."""
    most, elements = 1000, [element] * 1000
    names = data.draw(st.permutations([*others, "data"]))
    tensor = {name: elements if name == "data" else others[name] for name in names}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_elements, "MAX_REST_BYTES", most)
        rest, cut = without_data(spaced(json.dumps({"id": "x", "inputs": [tensor]}), data))
    assert len(rest) <= most
    assert json.loads(cut) == elements
    assert json.loads(rest) == {"id": "x", "inputs": [{**tensor, "data": json.loads(CUT)}]}


@pytest.mark.parametrize("piece", [3, 4, 10, 100])
def test_no_number_is_made_up_where_a_piece_ends_with_a_comma(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """The pieces end at commas, so the last piece may be empty and hide the error."""
    monkeypatch.setattr(json_elements, "PIECE_BYTES", piece)
    for ending in (b"]", b" ]", b",]", b",,]", b"," + b" " * 200 + b"]"):
        text = b"[" + b",".join([b"1"] * (785 - ending.count(b","))) + ending
        with pytest.raises(InvalidRequest):
            JsonElements(text).numbers("images", (1, 785 - (ending in (b"]", b" ]"))))


def test_a_number_beyond_float32_is_infinite() -> None:
    text = json.dumps([1e308, -1e308] * 392).encode()
    assert np.isinf(JsonElements(text).numbers("images", (1, 784))).all()
