"""Live reads, whole reads, and reads of many queues."""
