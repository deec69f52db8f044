"""Metrics and traces of a daemon, compared with its requests."""
