"""Queues: their names and settings, and what selects some of them."""
