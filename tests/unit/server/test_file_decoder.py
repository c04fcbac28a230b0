"""Image files are decoded in turns of connections, within bounds in number, bytes, pixels and time."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from PIL import Image, ImageDraw

from digits_server.errors import DeadlineExceeded, InvalidRequest, Overloaded, RequestTooLarge, Unavailable
from digits_server.service import file_decoder
from digits_server.service.calls import PlainCall
from digits_server.service.file_decoder import FileDecoder

SECONDS = 60.0


def picture(side: int, kind: str = "PNG") -> bytes:
    page = Image.new("L", (side, side), 255)
    ImageDraw.Draw(page).line((side // 2, side // 5, side // 2, side * 4 // 5), fill=0, width=side // 12)
    file = BytesIO()
    page.save(file, kind)
    return file.getvalue()


SMALL, LARGE = picture(60), picture(3000)
"""The large one takes some 70 ms and 9 million pixels."""


def decoder(
    max_files: int = 64,
    max_waiting: int = 256,
    max_waiting_bytes: int = 64 * 1024 * 1024,
    max_pixels: int = 16_777_216,
    max_request_pixels: int = 134_217_728,
) -> FileDecoder:
    return FileDecoder(
        max_files=max_files,
        max_waiting=max_waiting,
        max_waiting_bytes=max_waiting_bytes,
        max_pixels=max_pixels,
        max_request_pixels=max_request_pixels,
    )


@pytest.fixture
async def usual() -> AsyncIterator[FileDecoder]:
    files = decoder()
    yield files
    files.close()


async def test_a_small_picture_does_not_wait_for_another_caller_s_large_ones(usual: FileDecoder) -> None:
    greedy = [asyncio.create_task(usual.decode([LARGE] * 8, PlainCall(peer=number))) for number in range(4)]
    await asyncio.sleep(0)
    for _ in range(5):
        assert len(await usual.decode([SMALL], PlainCall(peer="another"))) == 1
    assert not any(task.done() for task in greedy)
    for task in greedy:
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_one_large_picture_waits_for_one_of_each_other_connection_at_most(usual: FileDecoder) -> None:
    greedy = [asyncio.create_task(usual.decode([LARGE] * 8, PlainCall(peer=number))) for number in range(2)]
    await asyncio.sleep(0)
    assert len(await usual.decode([LARGE], PlainCall(peer="another"))) == 1
    assert not any(task.done() for task in greedy)
    for task in greedy:
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_a_file_past_its_deadline_is_not_decoded(usual: FileDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []
    monkeypatch.setattr(file_decoder, "_decode", lambda _data, name, _pixels: decoded.append(name))
    with pytest.raises(DeadlineExceeded):
        await usual.decode([SMALL] * 3, PlainCall(deadline=asyncio.get_running_loop().time() - 1))
    assert decoded == []


async def test_a_caller_that_leaves_cancels_the_rest_of_its_files(usual: FileDecoder) -> None:
    leaving = asyncio.create_task(usual.decode([LARGE] * 60, PlainCall(peer="a")))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(SECONDS):
        await usual.decode([LARGE], PlainCall(peer="a"))
    assert usual.waiting_bytes == 0


async def test_files_that_wait_are_bounded_in_bytes() -> None:
    files = decoder(max_waiting_bytes=3 * len(LARGE))
    first = asyncio.create_task(files.decode([LARGE] * 2, PlainCall(peer="a")))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="max_waiting_file_bytes"):
        await files.decode([LARGE] * 2, PlainCall(peer="b"))
    assert len(await files.decode([SMALL], PlainCall(peer="b"))) == 1
    assert len(await first) == 2
    files.close()


async def test_patient_files_wait_for_their_place() -> None:
    files = decoder(max_waiting=2)
    works = [files.decode([SMALL] * 2, PlainCall(peer="a"), patient=True) for _ in range(6)]
    assert [len(images) for images in await asyncio.gather(*works)] == [2] * 6
    files.close()


async def test_the_pixels_of_one_request_are_bounded_and_counted_before_any_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = decoder(max_request_pixels=20_000_000)
    monkeypatch.setattr(file_decoder, "_decode", lambda *_: pytest.fail("a file was decoded"))
    with pytest.raises(RequestTooLarge, match=r"27000000 pixels in 3 files; at most 20000000 .*max_request_pixels"):
        await files.decode([LARGE] * 3, PlainCall())
    files.close()


async def test_the_time_of_one_request_is_bounded(usual: FileDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_decoder, "MOST_SECONDS", 0.0)
    with pytest.raises(RequestTooLarge, match="1 of 2 files took"):
        await usual.decode([SMALL] * 2, PlainCall())


async def test_an_error_names_its_file(usual: FileDecoder) -> None:
    with pytest.raises(InvalidRequest, match=r"^image_files\[1\]: not a valid"):
        await usual.decode([SMALL, b"no picture"], PlainCall())


async def test_a_closed_decoder_says_so(usual: FileDecoder) -> None:
    usual.close()
    with pytest.raises(Unavailable):
        await usual.decode([SMALL], PlainCall())
