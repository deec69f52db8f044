"""Pushes to real endpoints, and schedules."""
