"""The process: its sockets, signals and limits, its start and its end."""
