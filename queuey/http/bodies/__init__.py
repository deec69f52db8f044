"""Bodies of requests on their way to a handler, whole or in pieces."""
