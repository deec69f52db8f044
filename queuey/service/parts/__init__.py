"""The parts of a daemon, each put together by one module."""
