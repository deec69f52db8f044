"""Writes and reads of messages, their buckets, and producers that retry; their tables in memory."""
