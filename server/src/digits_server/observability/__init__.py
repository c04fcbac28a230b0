"""Metrics, failures and the log: what operators see of the whole server."""
