"""Copies of a store that is in use."""
