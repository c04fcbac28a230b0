"""Locust beside our own load generator: both must tell the same of one server."""
