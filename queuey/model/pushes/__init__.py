"""Rules of pushes, without I/O: allowed endpoints, requests, and the meaning of answers."""
