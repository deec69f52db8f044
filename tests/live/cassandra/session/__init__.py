"""The session over CQL, with real nodes and with nodes that answer by a script."""
