"""The registry of queues and the states that lightweight transactions change."""
