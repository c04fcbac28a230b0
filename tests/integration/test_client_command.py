"""`digits predict` on the command line, in a separate process against a real server."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.client.command import digits
from support.client.scripted import Gate, ScriptedServer, first_pixels
from support.pictures.pixels import png
from support.servers.process import OVER_BOTH_TRANSPORTS, SCRIPTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits_client._limits import FILES_PER_RPC

Images = NDArray[np.uint8]


@pytest.fixture
def pictures(tmp_path: Path, test_images: Images) -> list[Path]:
    """seven.png, two.png and one.png: the first three test images."""
    paths = [tmp_path / name for name in ("seven.png", "two.png", "one.png")]
    for path, image in zip(paths, test_images, strict=False):
        path.write_bytes(png(image))
    return paths


@OVER_BOTH_TRANSPORTS
def test_predict_prints_a_table_of_file_digit_and_confidence(server: ServerProcess, pictures: list[Path]) -> None:
    code, out, err = digits("predict", *pictures, target=server.target)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert [row[:2] for row in rows] == [[str(path), digit] for path, digit in zip(pictures, "721", strict=True)]
    assert all(row[2].endswith("%") for row in rows)
    assert len({line.index("%") for line in out.splitlines()}) == 1


def test_predict_prints_json_lines_when_asked(server: ServerProcess, pictures: list[Path]) -> None:
    code, out, err = digits("predict", "--json", *pictures, target=server.target)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["file"] for row in rows] == [str(path) for path in pictures]
    assert [row["digit"] for row in rows] == [7, 2, 1]
    for row in rows:
        assert row.keys() == {"file", "digit", "confidence", "probabilities", "model_version"}
        assert row["model_version"] == 1
        assert len(row["probabilities"]) == 10
        assert row["confidence"] == max(row["probabilities"])


def test_a_file_that_cannot_be_read_is_one_sentence_and_exit_code_1_and_costs_no_other(
    server: ServerProcess, pictures: list[Path]
) -> None:
    code, out, err = digits("predict", pictures[0], "absent.png", pictures[1], target=server.target)
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()] == ["7", "2"]
    assert err == "digits: cannot read absent.png: No such file or directory\n"


def test_a_file_that_is_not_a_picture_is_one_sentence_and_exit_code_1_and_affects_no_other(
    server: ServerProcess, pictures: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "words.png"
    path.write_text("words")
    code, out, err = digits("predict", pictures[0], path, pictures[1], target=server.target)
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()] == ["7", "2"]
    assert err.startswith(f"digits: {path}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["a", "1", "P"])
def test_an_error_names_its_file_even_if_the_sentence_contains_that_name_by_chance(
    server: ServerProcess, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("words")
    code, out, err = digits("predict", name, target=server.target)
    assert (code, out) == (1, "")
    assert err.startswith(f"digits: {name}: ")


def test_a_group_of_files_that_times_out_costs_no_other(tmp_path: Path) -> None:
    gate = Gate()

    def answer(request: PredictRequest) -> PredictResponse:
        return gate(request) if b"slow" in request.image_files[0] else first_pixels(request)

    names = [tmp_path / f"{place:03}" for place in range(FILES_PER_RPC + 2)]
    for place, name in enumerate(names):
        name.write_bytes(b"slow" if place < FILES_PER_RPC else b"\x07")
    with ScriptedServer(answer=answer) as script:
        code, out, err = digits("predict", "--timeout", "1", *names, target=script.target)
        gate.open()
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines()] == [[str(name), "7"] for name in names[FILES_PER_RPC:]]
    assert [line.split(": ")[1] for line in err.splitlines()] == [str(name) for name in names[:FILES_PER_RPC]]
    assert len(script.requests) == 2


def test_a_pattern_stands_for_the_files_it_matches(server: ServerProcess, pictures: list[Path], tmp_path: Path) -> None:
    code, out, err = digits("predict", tmp_path / "*.png", target=server.target)
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()] == [
        [str(path), digit] for path, digit in sorted(zip(pictures, "721", strict=True))
    ]


def test_a_pattern_that_matches_nothing_is_one_sentence_and_exit_code_1() -> None:
    assert digits("predict", "absent*.png") == (1, "", "digits: no file matches absent*.png\n")


def test_a_file_whose_name_is_a_pattern_is_that_file(server: ServerProcess, pictures: list[Path]) -> None:
    odd = pictures[0].rename(pictures[0].with_name("[7].png"))
    code, out, _ = digits("predict", odd, target=server.target)
    assert (code, out.split()[:2]) == (0, [str(odd), "7"])


def test_a_dash_is_one_picture_from_standard_input(server: ServerProcess, pictures: list[Path]) -> None:
    code, out, err = digits("predict", "-", target=server.target, typed=pictures[1].read_bytes())
    assert (code, err) == (0, "")
    assert out.split()[:2] == ["-", "2"]
    assert digits("predict", "-", "-")[:2] == (1, "")


def test_long_lists_tell_how_far_they_are_on_a_terminal_only(server: ServerProcess, pictures: list[Path]) -> None:
    names = [*pictures] * 50
    assert digits("predict", *names, target=server.target)[2] == ""
    terminal, shown = os.openpty()
    with subprocess.Popen(
        [SCRIPTS / "digits", "predict", "--target", server.target, *names], stdout=subprocess.PIPE, stderr=shown
    ) as running:
        os.close(shown)
        assert len(running.communicate(timeout=60)[0].splitlines()) == 150
        told = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert told.split("\r")[:2] == ["64 of 150 files", "128 of 150 files"]
    assert "150 of 150 files" in told


def test_output_whose_reader_has_ended_ends_quietly(server: ServerProcess, pictures: list[Path]) -> None:
    with subprocess.Popen(
        [SCRIPTS / "digits", "predict", "--json", "--target", server.target, *pictures * 700],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout
        assert running.stderr
        assert running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 1
