"""Models on disk: finding versions, verifying them, signatures, pins, and the `models` command.

Everything here reads files that somebody else wrote, off the event loop.
"""
