"""Messages: single ones, batches and columns of them, and writes that happen once."""
