"""The RPCs of this server, from bytes to bytes, the same for every transport.

`table` lists them all; health, reflection and stream limits are beside it.
"""
