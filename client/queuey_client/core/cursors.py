"""Where readers keep their places."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from queuey_client.core.values import Place


class Cursors(Protocol):
    """Where readers keep their places.

    An iterator calls ``save`` when the body of the loop is done with a message: at the end of each page, each second,
    and when the iterator ends. With ``transactional`` true it calls ``save`` *before* it gives a message, so that the
    transaction in which your program works on the message stores the place as well.
    """

    transactional: bool

    def load(self, reader: str) -> Place | None:
        """Return the place of a reader, or ``None`` if it has none yet."""

    def save(self, reader: str, place: Place) -> None:
        """Keep the place of a reader."""


class FileCursors:
    """A file for each reader in a folder, replaced in one step and synced.

    .. code-block:: python

       for message in queue.messages(reader="mail", cursors=FileCursors("/var/lib/shop")):
           send(message)

    A program that ends between its work and the saving does that work again: a page of messages, or those of a second.
    """

    transactional = False

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    def load(self, reader: str) -> Place | None:
        """Return the place of a reader, or ``None`` if it has none yet."""
        try:
            return self._file(reader).read_text(encoding="utf-8") or None
        except FileNotFoundError:
            return None

    def save(self, reader: str, place: Place) -> None:
        """Keep the place of a reader; it is on the disk when this returns."""
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._file(reader)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".cursor-")
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(place)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        self._sync_folder()

    def _file(self, reader: str) -> Path:
        if not reader:
            raise ValueError("a reader has a name")
        return self._folder / f"{quote(reader, safe='')}.cursor"

    def _sync_folder(self) -> None:
        if os.name == "posix":
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class SqlCursors:
    """A row for each reader, in the database of your own work.

    With ``commit=False`` the place is stored by *your* transaction, so what you do for a message happens once:

    .. code-block:: python

       connection = sqlite3.connect("accounts.sqlite")
       cursors = SqlCursors(connection, commit=False)
       for payment in queue.follow(reader="ledger", cursors=cursors):
           connection.execute("UPDATE accounts SET balance = balance + ?", (payment.json()["amount"],))
           connection.commit()

    The place is written into the open transaction just before a message is given; ``commit()`` then stores the place
    and your work together, and ``rollback()`` neither.

    :param connection: of any driver with the interface of PEP 249: ``sqlite3``, ``psycopg``, ``pymysql`` ...
    :param table: its name; it is made, and that is committed, if it is not there.
    :param mark: how the driver marks a parameter, ``?`` or ``%s``; found out from the driver if left out.
    """

    def __init__(
        self, connection: Any, table: str = "queuey_cursors", *, commit: bool = True, mark: str | None = None
    ) -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?", table):
            raise ValueError(f"{table!r} is no name of a table")
        self.transactional = not commit
        self._connection = connection
        self._table = table
        self._mark = mark or ("?" if "sqlite" in type(connection).__module__ else "%s")
        columns = "reader VARCHAR(255) PRIMARY KEY, place VARCHAR(600) NOT NULL"
        self._execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
        connection.commit()

    def load(self, reader: str) -> Place | None:
        """Return the place of a reader, or ``None`` if it has none yet."""
        row = self._execute(f"SELECT place FROM {self._table} WHERE reader = {self._mark}", reader).fetchone()
        return None if row is None else str(row[0])

    def save(self, reader: str, place: Place) -> None:
        """Keep the place of a reader, and commit if ``commit`` is true."""
        changed = self._execute(
            f"UPDATE {self._table} SET place = {self._mark} WHERE reader = {self._mark}", place, reader
        ).rowcount
        if not changed and self.load(reader) is None:
            self._execute(
                f"INSERT INTO {self._table} (reader, place) VALUES ({self._mark}, {self._mark})", reader, place
            )
        if not self.transactional:
            self._connection.commit()

    def _execute(self, statement: str, *values: str) -> Any:
        cursor = self._connection.cursor()
        cursor.execute(statement, values)
        return cursor
