"""Many queues read as one log: choices of queues, which are shared by all who ask for the same, and reads of them."""
