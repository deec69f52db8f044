"""Front ends that start, wait, take over, and serve side by side."""
