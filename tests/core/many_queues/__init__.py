"""Reads of many queues at once."""
