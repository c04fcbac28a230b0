"""The user's own network: `--network FILE.py:FUNCTION`.

`source` reads the file and calls the function; `adapted` checks the network that it returned, and adapts it.
"""
