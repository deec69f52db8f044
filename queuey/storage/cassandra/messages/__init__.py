"""The messages: how they are written, read, and written once."""
