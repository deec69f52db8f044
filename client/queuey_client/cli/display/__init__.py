"""What commands print: rows, JSON, messages, and tables on a terminal."""
