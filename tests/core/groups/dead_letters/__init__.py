"""Messages that a group gives up: moved to the dead-letter queue, listed, and redriven."""
