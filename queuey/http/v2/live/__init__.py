"""Live reads of a queue: Server-Sent Events and lines of JSON."""
