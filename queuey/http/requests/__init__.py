"""A request and its answer as a handler sees them, with their metrics and log lines."""
