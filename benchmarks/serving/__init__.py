"""The serving benchmark: our server beside the floors of its transports and beside Triton, in one run.

    make bench          about ten minutes; rewrites the figures in docs/performance.md
    make bench-peers    installs what the comparison needs and the project does not: Debian's h2load and libgrpc++,
                        Triton from PyPI

`../servers/catalogue.py` lists what is measured, `scenarios.py` how, `targets.py` against what.
"""
