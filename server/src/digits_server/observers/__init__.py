"""What follows single calls when the settings ask for it: the access log, and traces.

Without either, calls go untouched.
"""
