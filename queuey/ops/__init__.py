"""The operators' port: a second face of what the HTTP API serves, for those who run it. Not for browsers."""
