"""Reads: places in a queue, ranges of one queue or many, and cursors."""
