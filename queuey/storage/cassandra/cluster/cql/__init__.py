"""The session over CQL."""
