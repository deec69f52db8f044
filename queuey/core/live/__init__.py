"""Live reads: a client gets the messages of a source as they come, for as long as it stays connected."""
