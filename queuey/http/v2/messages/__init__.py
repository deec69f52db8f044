"""The messages of a queue: appended, read in pages or whole, and each of them by itself."""
