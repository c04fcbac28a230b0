"""The access log and traces: they follow single calls, if the settings turn them on.

Without them the code on a call's way is the same as if this room did not exist.
"""
