"""The reading thread: pages, slices and depths."""
