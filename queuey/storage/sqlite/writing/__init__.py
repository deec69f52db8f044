"""The writing thread: write batches, their rows and what the thread caches."""
