"""The daemon as a process: its start, its end, its endpoints, its limits, and its service manager."""
