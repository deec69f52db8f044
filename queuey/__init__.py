"""Queuey: a message queue over HTTP."""

__version__ = "2.0.0.dev0"
