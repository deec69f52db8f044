"""The Python client, without sockets: its core is driven with a list of answers, and a clock that a test sets."""
