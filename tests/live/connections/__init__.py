"""Connections on real sockets: slow clients, clients that hang up, streams, and noisy neighbours."""
