"""Arrays and files of every usual form: accepted if they have one meaning, else refused with a hint."""

import re
import tempfile
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from digits_client import InvalidInput
from digits_client._coalescing.calls import Kind
from digits_client._inputs.arrays import FAINT, ONE, SEVERAL
from digits_client._inputs.chunks import chunks, encoded
from digits_client._inputs.images import encode
from digits_client._settings import Sizes

NUMBERS = st.sampled_from(["uint8", "int16", "uint16", "int32", "int64", "uint64", "float16", "float32", "float64"])
PICTURES = arrays.arrays(np.uint8, (28, 28)).filter(lambda picture: picture.max() > FAINT)
FILE = b"\x89PNG and so on"


def batch(images: Any, *, convert: bool = False) -> bytes:
    """The pixels of all requests."""
    asked = Kind(0, probabilities=False)
    return b"".join(chunk.request.images for chunk in chunks(images, asked, convert=convert, sizes=Sizes()))


@given(picture=PICTURES, kind=NUMBERS, shape=st.sampled_from(sorted(ONE)))
def test_numbers_from_0_to_255_in_any_shape_of_one_image_are_its_pixels(
    picture: NDArray[np.uint8], kind: str, shape: tuple[int, ...]
) -> None:
    assert encode(picture.astype(kind).reshape(shape)).data == picture.tobytes()


@given(picture=PICTURES, kind=NUMBERS, shape=st.sampled_from(sorted(SEVERAL)), count=st.integers(1, 30))
def test_the_same_holds_for_several_images_as_one_array_and_one_by_one(
    picture: NDArray[np.uint8], kind: str, shape: tuple[int, ...], count: int
) -> None:
    images = np.stack([np.roll(picture, step) for step in range(count)])
    given = images.astype(kind).reshape(count, *shape)
    assert batch(given) == batch(list(given)) == images.tobytes()


@given(arrays.arrays(bool, (28, 28)))
def test_booleans_are_ink_where_they_are_true(mask: NDArray[np.bool_]) -> None:
    assert encode(mask).data == np.where(mask, 255, 0).astype(np.uint8).tobytes()


@pytest.mark.parametrize("kind", ["bool", "int64", "float32"])
def test_a_blank_array_of_any_type_is_blank(kind: str) -> None:
    assert encode(np.zeros((28, 28), kind)).data == bytes(784)
    assert batch(np.zeros((0, 28, 28), kind)) == b""


@given(arrays.arrays(np.float64, (28, 28), elements=st.floats(0, 255)))
def test_floats_from_0_to_255_are_rounded(image: NDArray[np.float64]) -> None:
    assume(image.max() > FAINT)
    assert encode(image).data == np.round(image).astype(np.uint8).tobytes()


SCALES: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "0 to 1": lambda picture: picture / 255,
    "0 to 1, whole": lambda picture: (picture > 99).astype(np.int64),
    "-1 to 1": lambda picture: picture / 127.5 - 1,
    "0 to 16": lambda picture: picture / 255 * 16,
    "0 to 65,535": lambda picture: picture.astype(np.uint16) * 257,
    "0 to 1,000": lambda picture: picture / 255 * 1000,
    "colours": lambda picture: np.stack([picture] * 3, axis=-1),
    "colours and alpha": lambda picture: np.stack([picture] * 4, axis=-1),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("several", [False, True])
def test_an_ambiguous_array_is_refused_with_the_line_that_converts_it(scale: str, several: bool) -> None:
    picture = np.arange(784, dtype=np.int64).reshape(28, 28) % 256
    images = SCALES[scale](np.stack([picture] * 3) if several else picture)
    send: Callable[[Any], Any] = batch if several else encode
    with pytest.raises(InvalidInput) as refused:
        send(images)
    line = re.search(r"(?<=: )\S*images.*?(?=, or convert=True|$)", str(refused.value))
    assert line, refused.value
    converted = eval(line[0], {"numpy": np, "images": images})  # noqa: S307  # the promise is that it runs as it stands
    assert converted.dtype == np.uint8
    assert converted.max() == 255
    send(converted)


@given(
    arrays.arrays(
        st.one_of(arrays.scalar_dtypes(), st.just(np.dtype(object))),
        st.one_of(st.sampled_from(sorted(ONE)), arrays.array_shapes(min_dims=0, max_dims=4, max_side=28)),
    ),
    st.booleans(),
)
def test_every_array_is_784_bytes_or_refused_in_one_line(image: NDArray[Any], convert: bool) -> None:
    sends: list[Callable[[], bytes]] = [
        lambda: encode(image, convert=convert).data,
        lambda: batch(image, convert=convert),
    ]
    for send in sends:
        try:
            assert len(send()) % 784 == 0
        except InvalidInput as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 400


@pytest.mark.parametrize("several", [[[0] * 28] * 28, tuple([0] * 784)])
def test_a_list_of_numbers_is_refused_with_the_line_that_converts_it(several: Any) -> None:
    with pytest.raises(InvalidInput, match=r": numpy\.array\(image, numpy\.uint8\)$"):
        encode(several)


class Tensor:
    """A tensor like those of other libraries."""

    def __array__(self) -> NDArray[Any]:
        return np.zeros((28, 28), np.uint8)


class Table:
    """A table like those of pandas: its iterator gives the names of the columns."""

    columns = ("pixel0",)

    def to_numpy(self) -> NDArray[Any]:
        return np.zeros((1, 784), np.uint8)

    def __iter__(self) -> Any:
        return iter(self.columns)


def test_an_array_of_another_library_is_refused_with_the_line_that_converts_it() -> None:
    with pytest.raises(InvalidInput, match=r"got Tensor: numpy\.asarray\(image\)"):
        encode(Tensor())  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"got Table: images\.to_numpy\(\)"):
        batch(Table())
    assert batch(Table().to_numpy()) == bytes(784)


class Upload:
    """An upload like those of asynchronous frameworks."""

    def __init__(self, content: bytes) -> None:
        self._file = BytesIO(content)

    async def read(self) -> bytes:
        return self._file.read()


async def test_open_files_of_every_kind_are_read_from_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    path.write_bytes(b"12" + FILE)
    with path.open("rb") as opened, tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(FILE)
        spooled.seek(0)
        opened.seek(2)
        assert encode(opened) == encode(spooled) == encode(BytesIO(FILE)) == (True, FILE)
    assert await encoded(BytesIO(FILE), convert=False) == await encoded(Upload(FILE), convert=False) == (True, FILE)


async def test_a_file_that_gives_no_bytes_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    path.write_bytes(FILE)
    closed = path.open("rb")
    closed.close()
    with path.open() as text, path.open("ab") as written:
        for file, sentence in (
            (BytesIO(), "at its end, or empty: image.seek(0)"),
            (StringIO("text"), 'open it with mode "rb"'),
            (text, 'open it with mode "rb"'),
            (written, 'not open for reading: open it with mode "rb"'),
            (closed, "cannot read the file: "),
            (Upload(FILE), "pass image.file, or await image.read()"),
        ):
            with pytest.raises(InvalidInput, match=re.escape(sentence)):
                encode(file)
    with pytest.raises(InvalidInput, match="empty"):
        await encoded(Upload(b""), convert=False)


def test_one_open_file_is_not_taken_for_the_images_of_a_batch() -> None:
    with pytest.raises(InvalidInput, match="predict takes one image"):
        batch(BytesIO(b"line\nline"))


@given(
    st.text("ABCXYZabcxyz0189+/", min_size=120, max_size=5000), st.sampled_from(["", "data:image/png;base64,", "/9j/"])
)
def test_base64_is_recognised_and_not_repeated_in_the_error(text: str, beginning: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        encode(beginning + text)
    assert len(str(refused.value)) < 350
    assert "base64.b64decode(image)" in str(refused.value)
