"""Pillow images of every mode and orientation, timeouts of every kind, and the command line with them."""

import contextlib
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image, ImageOps
from support.client.both import Connect
from support.client.scripted import ScriptedServer, refusing

import digits_client
from digits_client import Client, InvalidInput, ResourceExhausted
from digits_client._command.files import predictions
from digits_client._inputs.images import encode
from digits_client.cli import run

ZEROS = np.zeros((28, 28), np.uint8)


def sent(image: Any) -> Image.Image:
    return Image.open(BytesIO(encode(image).data))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F"])
def test_a_pillow_image_of_any_mode_is_sent(mode: str) -> None:
    ink = Image.new("L", (28, 28), 0)
    ink.paste(255, (10, 4, 16, 24))
    image = ink.convert("RGB").convert(mode) if mode in ("HSV", "LAB") else ink.convert(mode)
    pixels = np.asarray(sent(image).convert("L"))
    assert (pixels[12, 12] > 200, pixels[0, 0] < 50) == (True, True)


@pytest.mark.parametrize("image", [Image.new("F", (9, 9), 0.5), Image.fromarray(np.full((9, 9), 70_000, np.int32))])
def test_a_pillow_image_without_a_conversion_is_refused_with_one(image: Image.Image) -> None:
    with pytest.raises(InvalidInput, match=r"image: .*mode (F|I).*image\.convert"):
        encode(image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_sent_upright(orientation: int) -> None:
    picture = Image.fromarray(np.arange(6 * 4, dtype=np.uint8).reshape(6, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    picture.save(file, "PNG", exif=exif)
    opened = Image.open(BytesIO(file.getvalue()))
    assert np.array_equal(np.asarray(sent(opened)), np.asarray(ImageOps.exif_transpose(opened)))
    assert 0x0112 not in sent(opened).getexif()


def test_a_pillow_subclass_of_another_module_is_a_pillow_image() -> None:
    class Plugin(Image.Image):
        pass

    plugin = Plugin()
    plugin.__dict__.update(Image.new("L", (28, 28)).__dict__)
    assert encode(plugin).is_file


def test_a_long_string_is_not_echoed_as_a_file_name() -> None:
    with pytest.raises(InvalidInput) as refused:
        encode("iVBORw0KGgo" * 400)
    assert len(str(refused.value)) < 400
    assert "pass the content as bytes" in str(refused.value)


@pytest.mark.parametrize("timeout", [math.inf, 1e10])
def test_an_endless_timeout_is_no_limit(connect: Connect, script: ScriptedServer, timeout: float) -> None:
    client = connect(script.target)
    client.wait_ready(timeout)
    assert client.predict(ZEROS, timeout=timeout).digit == 0
    assert client.predict_batch([ZEROS], timeout=timeout).digits[0] == 0
    assert connect(script.target, timeout=None).predict(ZEROS).digit == 0


@pytest.mark.parametrize("timeout", [math.nan, -1, "1"])
def test_an_invalid_timeout_is_refused_by_name(connect: Connect, timeout: Any) -> None:
    client = connect("localhost:1")
    for call in (client.health, client.model, lambda **given: client.predict(ZEROS, **given), client.wait_ready):
        with pytest.raises(InvalidInput, match="timeout: expected seconds"):
            call(timeout=timeout)
    with pytest.raises(InvalidInput, match="timeout: expected seconds"):
        Client("localhost:1", timeout=timeout)


def test_the_command_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"digits {digits_client.__version__}\n"


def test_the_command_refuses_a_negative_timeout_and_a_full_disk(
    script: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["health", "--timeout", "-1"])
    assert ended.value.code == 2
    file = tmp_path / "a"
    file.write_bytes(b"x")
    capsys.readouterr()
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        monkeypatch.setattr("sys.stdout", full)
        assert run(["predict", "--target", script.target, str(file)]) == 1
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert "digits: cannot write the output: No space left" in capsys.readouterr().err


def test_an_overload_is_no_reason_to_send_each_file_alone(script: ScriptedServer, tmp_path: Path) -> None:
    class Overloaded(Client):
        """Has read the server's delay from its refusal."""

        def predict_batch(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super().predict_batch(*arguments, **options)
            except ResourceExhausted as error:
                error.retry_after_seconds = 1.0
                raise

    script.answer = refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, message="the queue is full")
    names = [str(tmp_path / str(number)) for number in range(3)]
    for name in names:
        Path(name).write_bytes(b"x")
    with Overloaded(script.target) as client:
        answers = dict(predictions(client, names, probabilities=False, model_version=0))
    assert set(map(type, answers.values())) == {ResourceExhausted}
    assert len(script.requests) == 1
