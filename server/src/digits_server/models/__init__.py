"""Models on disk: finding versions, verifying them, signatures, pins, and the `models` command.

Everything here reads untrusted files, off the event loop.
"""
