"""Counts as metrics: the only package that knows the client library of Prometheus."""
