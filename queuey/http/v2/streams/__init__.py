"""Appending by a stream of lines: cut, decoded, stored in batches, and answered while more lines arrive."""
