"""The serving benchmark: our server, Triton, and echo servers that show the least cost of each transport, in one run.

    make bench          about ten minutes; rewrites the figures in docs/performance.md
    make bench-peers    installs what only the comparison needs: Debian's h2load and libgrpc++,
                        Triton from PyPI

`../servers/catalogue.py` lists what is measured, `scenarios.py` how, `targets.py` against what.
"""
