"""docs/one-host.md names what is there, and release.sh installs what the images install."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/one-host.md").read_text(encoding="utf-8")
RELEASE = (ROOT / "deploy/systemd/release.sh").read_text()
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith(("    sudo ", "    /opt/"))]


def test_the_commands_name_files_units_and_programs_that_are_there() -> None:
    assert len(COMMANDS) > 12
    text = "\n".join(COMMANDS)
    for path in re.findall(r"\bdeploy/\S+", text):
        assert list(ROOT.glob(path)), path
    units = {path.name.removesuffix(".service") for path in (ROOT / "deploy/systemd").glob("*.service")}
    named = re.findall(r"\b(digits-(?:server@|training|envoy)(?=[ab\s]|$))", text, re.MULTILINE)
    assert set(named) == units
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        (command,) = re.findall(r"^ExecStart=/opt/digits/current/(\w+)/", unit.read_text(), re.MULTILINE)
        assert command in parts()


def test_every_unit_has_its_environment_files() -> None:
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        for file in re.findall(r"^EnvironmentFile=/etc/digits/(\S+)$", unit.read_text(), re.MULTILINE):
            names = ["a.env", "b.env"] if file == "%i.env" else [file]
            assert all((ROOT / "deploy/systemd/etc" / name).is_file() for name in names)


def test_a_release_has_what_the_images_have_locked_by_hash() -> None:
    assert "--require-hashes" in RELEASE
    for part in parts():
        assert (ROOT / f"requirements/{part}.txt").is_file()
    for part in ("server", "training"):
        dockerfile = (ROOT / part / "Dockerfile").read_text()
        assert f"requirements/{part}.txt requirements/build.txt" in dockerfile
        assert f"./proto ./{part}" in dockerfile
    assert "./proto ./server ./training" in RELEASE


def parts() -> list[str]:
    """The environments of a release."""
    (found,) = re.findall(r"^for part in (server .*); do$", RELEASE.partition("# Our own code")[0], re.MULTILINE)
    return str(found).split()
