"""Attacks on a server, each in a process of its own, and fuzzers of what reads strangers' bytes."""
