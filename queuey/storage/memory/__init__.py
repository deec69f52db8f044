"""The memory store: it keeps everything in the process. All other stores behave as it does."""

from queuey.storage.memory.store import MemoryStore

__all__ = ["MemoryStore"]
