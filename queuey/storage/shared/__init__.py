"""A store that one process owns and others reach over a socket: ``SharedStore`` in those, ``Hub`` in that one."""

from queuey.storage.shared.announced import AnnouncedStore
from queuey.storage.shared.client import SharedStore
from queuey.storage.shared.hub import Hub

__all__ = ["AnnouncedStore", "Hub", "SharedStore"]
