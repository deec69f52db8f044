"""Pushes of a queue to HTTP endpoints: their settings, and actions on them."""
