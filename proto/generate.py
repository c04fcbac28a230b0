"""Writes the Python stubs of every .proto in this folder; with --check, only compares them with what is committed.

    python proto/generate.py [--check]

Exit code 1 when a committed stub differs from what its .proto gives. Needs mypy-protobuf, and the compilers of
requirements/stubs.txt in .venv/stubs (`make stubs` installs them). They are old on purpose: a stub works with every
protobuf and grpcio that is not older than its compiler, and refuses an older one.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PROTO_ROOT = Path(__file__).resolve().parent
PROTOS = sorted(path.relative_to(PROTO_ROOT) for path in PROTO_ROOT.glob("digits/**/*.proto"))
COMPILERS = PROTO_ROOT.parent / ".venv/stubs/bin"
STUB_SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")

SHARED_POOL, OWN_POOL = "_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"
"""Where a stub registers the names of its .proto: for all of the process, where a name may be registered once, or for
itself alone."""


def generate(out: Path) -> None:
    """Writes the stubs of every .proto below `out`, in the folders of their packages."""
    scripts = Path(sysconfig.get_path("scripts"))
    typed = [f"--plugin=protoc-gen-{name}={scripts / f'protoc-gen-{name}'}" for name in ("mypy", "mypy_grpc")]
    typed += [f"--{kind}_out=quiet:{out}" for kind in ("mypy", "mypy_grpc")]
    compile_protos(COMPILERS / "protoc", f"--python_out={out}", *typed)
    compile_protos(COMPILERS / "python", "-m", "grpc_tools.protoc", f"--grpc_python_out={out}")
    for proto in PROTOS:  # a file without a service gets RPC stubs with nothing in them
        if "\nservice " not in (PROTO_ROOT / proto).read_text():
            for suffix in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
                out.joinpath(proto).with_name(proto.stem + suffix).unlink(missing_ok=True)
    for proto in PROTOS:
        if "\npackage digits." not in (PROTO_ROOT / proto).read_text():
            _keep_names_private(out / proto.with_name(proto.stem + "_pb2.py"))


def compile_protos(*command: str | Path) -> None:
    subprocess.run([*command, f"--proto_path={PROTO_ROOT}", *map(str, PROTOS)], check=True)


def _keep_names_private(stub: Path) -> None:
    """Names of a public protocol are in other packages' stubs too, and both must fit into one process."""
    text = stub.read_text()
    if text.count(SHARED_POOL) != 1:
        raise SystemExit(f"{stub.name}: expected {SHARED_POOL} once; the compiler writes stubs otherwise than it did")
    stub.write_text(text.replace(SHARED_POOL, OWN_POOL))


def stubs(root: Path) -> dict[str, str]:
    """The stubs below `root`: path relative to it → text."""
    found = (path for path in root.glob("digits/**/*") if path.name.endswith(STUB_SUFFIXES))
    return {path.relative_to(root).as_posix(): path.read_text() for path in found}


def differences() -> list[str]:
    """The committed stubs that differ from what their .proto gives, or are missing, or have no .proto."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        fresh, committed = stubs(Path(scratch)), stubs(PROTO_ROOT)
    return sorted(path for path in fresh.keys() | committed.keys() if fresh.get(path) != committed.get(path))


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the Python stubs of the protos.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a committed stub differs")
    if not parser.parse_args().check:
        generate(PROTO_ROOT)
        return 0
    stale = differences()
    for path in stale:
        print(f"proto/{path} differs from its .proto: run `make stubs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
