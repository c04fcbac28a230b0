"""The access log and traces: they follow single calls, if the settings turn them on.

Without them a call takes the same way through the code as if this package did not exist.
"""
