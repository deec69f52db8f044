"""The session over Thrift: its connections, its pool of nodes, its batches and its failures."""
