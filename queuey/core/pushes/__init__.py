"""Pushes: the daemon as the worker of consumer groups, which sends their messages to HTTP endpoints."""
