"""Pages, live reads, waits, looks at messages, and the partitions that messages go to."""
