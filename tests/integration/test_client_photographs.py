"""A batch of photographs, and another client in the same process: real servers answer both, with default settings."""

import threading
from collections import Counter
from io import BytesIO
from typing import Self

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.client.both import Connect
from support.servers.process import ServerProcess

from digits_client import Client, DigitsError

PHOTOGRAPHS = 800
BYTES = 46_000
PAUSE = 0.02  # seconds between two calls of the other client


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """A picture as large as a small photograph; most of it is a comment, so that decoding it takes a moment only."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:15] = 255
    comment = PngInfo()
    comment.add_text("Comment", "-" * BYTES)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", pnginfo=comment)
    return file.getvalue()


class OtherCaller:
    """Another caller, which sends a single photograph now and then."""

    def __init__(self, client: Client, photograph: bytes) -> None:
        self._client, self._photograph = client, photograph
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._call)
        self.outcomes: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()

    def _call(self) -> None:
        while True:
            try:
                self.outcomes[f"digit {self._client.predict(self._photograph).digit}"] += 1
            except DigitsError as error:
                self.outcomes[repr(error)] += 1
            if self._done.wait(PAUSE):
                return


@pytest.mark.parametrize("shared", [False, True], ids=["another client", "the same client"])
def test_a_batch_of_photographs_and_single_ones_meanwhile_are_all_answered(
    connect: Connect, server: ServerProcess, photograph: bytes, shared: bool
) -> None:
    client = connect(server.target)
    digit = client.predict(photograph).digit
    with OtherCaller(client if shared else connect(server.target), photograph) as other:
        answers = client.predict_batch([photograph] * PHOTOGRAPHS)
    assert set(answers.digits) == {digit}
    assert len(answers) == PHOTOGRAPHS
    assert set(other.outcomes) == {f"digit {digit}"}
