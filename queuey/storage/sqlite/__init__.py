"""The embedded store: SQLite, through apsw, by one writing and one reading thread."""

from queuey.storage.sqlite.database.files import SQLiteSettings
from queuey.storage.sqlite.group_commit import Runner, Threads
from queuey.storage.sqlite.store import SQLiteStore

__all__ = ["Runner", "SQLiteSettings", "SQLiteStore", "Threads"]
