"""Claims that wait for messages, and the queues in which they wait."""
