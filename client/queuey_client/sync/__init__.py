"""The face for threads, on urllib3."""
