"""Locust and our own load generator: both must measure the same for one server."""
