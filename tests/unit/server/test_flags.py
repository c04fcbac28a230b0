"""One setting is a flag, a variable, a line of --help and a line of --print-config, and all four agree."""

from dataclasses import fields

import pytest
from click.testing import CliRunner

from digits_server import flags
from digits_server.__main__ import main
from digits_server.settings import Settings

NAMES = [item.name for item in fields(Settings)]


def run(*arguments: str, **environment: str) -> str:
    ended = CliRunner().invoke(main, arguments, env=environment, terminal_width=120)
    assert ended.exit_code == 0, ended.output
    return ended.output


def line(output: str, flag: str) -> list[str]:
    """The words of the one line about `flag`."""
    (found,) = [words for text in output.splitlines() if (words := text.split()) and words[0] == flag]
    return found


def test_help_gives_each_setting_one_line_in_a_section_with_its_default() -> None:
    lines = run("--help").splitlines()
    for name in NAMES:
        flag = name.replace("_", "-")
        (at,) = [number for number, text in enumerate(lines) if text.startswith((f"  --{flag} ", f"  --[no-]{flag} "))]
        assert len(lines[at]) <= 120
        assert lines[at + 1] == "" or lines[at + 1].startswith(("  --", " " * 31))
    assert "  --[no-]reflection              Answer gRPC server reflection. [on]" in lines
    assert {"Model:", "Network:", "Requests:", "Queues:", "Logs:", "Other:"} <= set(lines)


def test_print_config_says_every_value_and_who_said_so() -> None:
    output = run("--print-config", "--grpc-port", "7", "--no-reflection", DIGITS_HOST="::1", DIGITS_GRPC_PORT="8")
    assert line(output, "--grpc-port") == ["--grpc-port", "7", "flag"]
    assert line(output, "--reflection") == ["--reflection", "off", "flag"]
    assert line(output, "--host") == ["--host", "::1", "environment", "DIGITS_HOST"]
    assert line(output, "--http-port") == ["--http-port", "8080", "default"]
    for name in NAMES:
        line(output, f"--{name.replace('_', '-')}")


def test_the_settings_survive_the_way_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Settings(grpc_port=1, reflection=False, shutdown_grace=0.5, host="::1")
    for name, value in flags.to_environment(told).items():
        monkeypatch.setenv(name, value)
    assert flags.from_environment() == told
