"""One connection: its bytes, its limits, its beginning and its end."""
