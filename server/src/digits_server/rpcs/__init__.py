"""The RPCs of this server, as bytes in and bytes out, whatever transport carries them.

`table` lists them all; health, reflection and stream limits are beside it.
"""
