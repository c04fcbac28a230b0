"""A network of one's own: `--network FILE.py:FUNCTION`.

`source` reads the file and calls the function; `adapted` checks what it returned and makes it a network like ours.
"""
