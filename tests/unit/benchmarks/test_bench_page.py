"""The figures as Markdown, and their place in the page."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.common.paths import SERVING
from benchmarks.common.report import END, NoMarkers, spliced
from benchmarks.common.tables import number
from benchmarks.serving import page, tables
from benchmarks.serving.plot import draw
from benchmarks.serving.results import Results

RUN = Results(
    date="2026-01-01",
    minutes=9.0,
    options={"seconds": 1.5, "workers": 1, "server_cores": "0", "load_cores": "1"},
    machine={"CPU": "2 × something", "kernel": "Linux 6"},
    titles={"digits-grpcio": "Digits, grpcio transport", "echo-grpcio": "floor: bare grpc.aio echo"},
    variants={},
    skipped={"Triton": "nvidia-pytriton is not installed"},
    rounds=[
        {
            "digits-grpcio": {
                "startup_s": 0.5,
                "single_64": {"cpu_us": 550.0, "requests_per_second": 1800.0},
                "open_loop": [
                    {"share": 0.9, "offered": 1620.0, "requests": 99, "failed": 0, "p50": 2, "p99": 9, "late_p99": 0.1}
                ],
            },
            "echo-grpcio": {"single_64": {"cpu_us": 500.0, "requests_per_second": 2000.0}},
            "network": {"1": 12.0, "32": 60.0, "1024": 1300.0},
        }
    ],
)


def test_only_text_between_the_markers_changes() -> None:
    written = f"before\n{page.BEGIN}\n\nold\n\n{END}\nafter\n"
    assert spliced(written, "new\n", page.BEGIN) == f"before\n{page.BEGIN}\n\nnew\n\n{END}\nafter\n"


@pytest.mark.parametrize("written", ["", page.BEGIN, END, f"{END}{page.BEGIN}"])
def test_a_page_without_both_markers_is_left_alone(written: str) -> None:
    with pytest.raises(NoMarkers):
        spliced(written, "new", page.BEGIN)


def test_the_documentation_has_both_markers() -> None:
    assert "new" in spliced(SERVING.page.read_text(), "new", page.BEGIN)


def test_targets_are_next_to_the_measured_figures() -> None:
    text = tables.targets(RUN, "digits-grpcio")
    assert "| CPU per request, 64 in flight ÷ bare grpc.aio echo | ≤ 1× | 1.10× | **missed** |" in text
    assert "| p50, 1 in flight ÷ Triton | ≤ 0.1× | – | – |" in text


def test_the_page_describes_the_run_and_its_missing_contenders() -> None:
    text = page.figures(RUN)
    assert "Measured 2026-01-01 in 9 minutes, rounds: 1, 1.5 s a load." in text
    assert "- CPU: 2 × something" in text
    assert "- Triton: nvidia-pytriton is not installed" in text
    assert "| Digits, grpcio transport | 90% | 1,620 | 2.00 | 9.00 | 0.10 | 0 of 99 |" in text


def test_a_busy_machine_is_reported() -> None:
    assert page.disturbed(RUN) == []
    floor = {"single_64": {"core_share": 0.38}}
    busy = replace(RUN, rounds=[{"echo-grpcio": floor, "digits-grpcio": {"single_64": {"core_share": 0.97}}}])
    (warning,) = page.disturbed(busy)
    assert warning.endswith("with 64 in flight: floor: bare grpc.aio echo 38%.")
    assert warning in page.figures(busy)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.1234, "0.12"), (12.34, "12.3"), (123.4, "123"), (889_432.0, "889,000")]
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    draw(RUN, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
