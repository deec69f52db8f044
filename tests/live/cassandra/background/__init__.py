"""Pushes and schedules of several front ends: each has one owner at a time."""
