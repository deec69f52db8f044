"""What is counted and traced, as plain values."""
