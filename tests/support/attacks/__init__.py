"""Attacks on a server, each in a separate process, and fuzzers of readers of untrusted bytes."""
