"""One setting is a flag, a variable, a line of --help and a line of --print-config, and all four agree."""

from dataclasses import fields

import click
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


def test_print_config_shows_every_value_and_its_source() -> None:
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


LINK = "tcp://10.96.0.1:50051"
OF_A_SERVICE = {
    "DIGITS_GRPC_PORT": LINK,
    "DIGITS_GRPC_SERVICE_HOST": "10.96.0.1",
    "DIGITS_GRPC_SERVICE_PORT": "50051",
    "DIGITS_GRPC_SERVICE_PORT_GRPC": "50051",
    "DIGITS_GRPC_PORT_50051_TCP": LINK,
    "DIGITS_GRPC_PORT_50051_TCP_PROTO": "tcp",
    "DIGITS_GRPC_PORT_50051_TCP_PORT": "50051",
    "DIGITS_GRPC_PORT_50051_TCP_ADDR": "10.96.0.1",
    "DIGITS_HTTP_PORT": LINK,
    "DIGITS_SERVER_PORT": LINK,
    "DIGITS_PORT": LINK,
    "DIGITS_SERVICE_HOST": "10.96.0.1",
}
"""Variables that Kubernetes sets for Services named digits-grpc, digits-http, digits-server and digits."""


def test_addresses_of_kubernetes_services_are_no_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OF_A_SERVICE.items():
        monkeypatch.setenv(name, value)
    assert flags.from_environment() == Settings()
    output = run("--print-config", **OF_A_SERVICE)
    assert line(output, "--grpc-port") == ["--grpc-port", "50051", "default"]
    said = list(flags.remarks(OF_A_SERVICE))
    assert [sentence.partition("=")[0] for sentence in said] == ["DIGITS_GRPC_PORT", "DIGITS_HTTP_PORT"]
    assert all("enableServiceLinks: false" in sentence for sentence in said)


def test_a_port_that_is_not_a_number_is_still_refused() -> None:
    ended = CliRunner().invoke(main, ["--print-config"], env={"DIGITS_GRPC_PORT": "ten"})
    assert ended.exit_code == 2
    ended = CliRunner().invoke(main, ["--print-config", "--grpc-port", LINK])
    assert ended.exit_code == 2


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("DIGITS_MAX_QUEUESIZE", "DIGITS_MAX_QUEUE_SIZE"),
        ("DIGITS_WORKER", "DIGITS_WORKERS"),
        ("DIGITS_LOGLEVEL", "DIGITS_LOG_LEVEL"),
        ("DIGITS_TLS_CERT", "DIGITS_TLS_CERTIFICATE"),
        ("DIGITS_XYZ", None),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_setting(name: str, nearest: str | None) -> None:
    (said,) = flags.remarks({name: "1", "PATH": "/bin", "DIGITS_HOST": "::1", "DIGITS_WORKER_NUMBER": "1"})
    assert said.startswith(f"{name} is ignored")
    assert said.endswith(f"did you mean {nearest}?" if nearest else "no such setting")


def test_a_command_goes_by_its_own_flags_then_by_those_before_it_then_by_those_of_the_server() -> None:
    parent = main.make_context("digits-server", ["--http-port", "2", "--host", "::1", "health"])
    own = click.Context(flags.WithSettings("health", params=list(flags.options())), parent=parent)
    own.command.parse_args(own, ["--http-port", "3"])
    running = ["--http-port", "4", "--host", "0.0.0.0", "--http-tls", "--check", "--wat", "--grpc-port", "5"]  # noqa: S104
    chosen = flags.chosen(own, running)
    assert (chosen.http_port, chosen.host, chosen.http_tls, chosen.grpc_port) == (3, "::1", True, 5)
