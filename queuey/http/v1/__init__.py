"""The v1 API: its handlers, how requests are parsed, and how answers look."""
