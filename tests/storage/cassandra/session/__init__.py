"""What stands around a session of CQL: layers, levels of consistency, and facts of a cluster."""
