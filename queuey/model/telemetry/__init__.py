"""Values of metrics and traces."""
