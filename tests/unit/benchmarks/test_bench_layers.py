"""Samples of a server's libraries become microseconds of a request."""

from benchmarks.loads.closed_loop import Load
from benchmarks.serving.layers import OTHER, Profile, layer, rows, shares

REPORT = """
    60.00%  libpython3.11.so.1.0
    20.00%  python3.11
    15.00%  libpywrap_litert_common.so
     5.00%  [vdso]

"""


def test_a_library_of_any_version_has_a_row() -> None:
    assert layer("cygrpc.cpython-313-x86_64-linux-gnu.so") == layer("cygrpc.abi3.so") != OTHER
    assert layer("[kernel.kallsyms]") != OTHER


def test_samples_of_one_row_add_up() -> None:
    found = shares(REPORT)
    assert found == {layer("libpython"): 0.8, layer("litert"): 0.15, OTHER: 0.05}


def test_the_table_has_a_column_for_each_load_and_a_sum() -> None:
    quick = Profile("native", Load(1, 1, 1), {layer("libpython"): 60.0, OTHER: 5.0})
    slow = Profile("grpcio", Load(4, 16, 1), {layer("libpython"): 400.0, layer("cygrpc"): 1000.0})
    lines = rows([quick, slow]).splitlines()
    assert lines[0] == "| CPU µs a request | native, 1 × 1 in flight | grpcio, 1 × 64 in flight |"
    assert "| Python's interpreter | 60.0 | 400 |" in lines
    assert lines[-1] == "| **all** | 65.0 | 1,400 |"
