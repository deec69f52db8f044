"""The HTTP server and its APIs: the only package that knows HTTP and Klein."""
