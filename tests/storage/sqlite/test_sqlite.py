"""The SQLite store passes the contracts, one operation a write batch."""

from __future__ import annotations

from queuey.interfaces import IImportTarget
from queuey.storage.sqlite import SQLiteStore
from tests.again import again
from tests.contracts import (
    group_troubles,
    keeping,
    once,
    putting,
    sizes,
    timing,
)
from tests.contracts.every import EVERY
from tests.contracts.subject import Contract
from tests.storage.quick import quick_directory
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import SQLiteSubject


class SQLiteCase(Contract):
    def make_subject(self) -> SQLiteSubject:
        return SQLiteSubject(quick_directory(self), Inline)


class ArrivalTests(SQLiteCase, timing.ArrivalContract):
    subject: SQLiteSubject


class GroupTroublesTests(SQLiteCase, group_troubles.GroupTroublesContract):
    in_flight = 100_000


class ImportTargetTests(SQLiteCase, keeping.ImportTargetContract):
    @property
    def target(self) -> IImportTarget:
        store = self.store
        assert isinstance(store, SQLiteStore)
        return store.import_target()


again(
    __name__,
    {"": SQLiteCase},
    (*EVERY, once.OnceContract, once.ExactOnceContract, putting.ExactPutContract, sizes.BytesContract),
)
