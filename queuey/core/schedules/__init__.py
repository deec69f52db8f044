"""Schedules: messages that are posted at times that a cron expression names."""
