"""Schedules: the rules of cron, and the stored formats."""
