"""Queuey: a message queue for whoever has HTTP and nothing else."""

__version__ = "2.0.0.dev0"
