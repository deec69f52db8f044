"""The SQLite store passes the contracts, one operation a write batch."""

from __future__ import annotations

from queuey.interfaces import IImportTarget
from queuey.storage.sqlite import SQLiteStore
from tests.contracts import (
    closing,
    depth,
    group_troubles,
    groups,
    keeping,
    many,
    merging,
    messages,
    once,
    putting,
    queues,
    restoring,
    states,
    timing,
)
from tests.contracts.subject import Contract
from tests.storage.quick import quick_directory
from tests.storage.runners import Inline
from tests.storage.subjects import SQLiteSubject


class SQLiteCase(Contract):
    def make_subject(self) -> SQLiteSubject:
        return SQLiteSubject(quick_directory(self), Inline)


class AppendTests(SQLiteCase, messages.AppendContract):
    pass


class ScanTests(SQLiteCase, messages.ScanContract):
    pass


class ReplaceTests(SQLiteCase, messages.ReplaceContract):
    pass


class DepthTests(SQLiteCase, depth.DepthContract):
    """How many messages and bytes a queue holds, and how old the oldest is."""


class LifeTests(SQLiteCase, messages.LifeContract):
    pass


class ExpiryTests(SQLiteCase, timing.ExpiryContract):
    pass


class FutureTests(SQLiteCase, timing.FutureContract):
    pass


class DelayTests(SQLiteCase, timing.DelayContract):
    pass


class ArrivalTests(SQLiteCase, timing.ArrivalContract):
    subject: SQLiteSubject


class ManyTests(SQLiteCase, many.ManyContract):
    pass


class ChangesTests(SQLiteCase, many.ChangesContract):
    pass


class MergeTests(SQLiteCase, merging.MergeContract):
    pass


class ClosingTests(SQLiteCase, closing.ClosingContract):
    pass


class OnceTests(SQLiteCase, once.OnceContract):
    pass


class ExactOnceTests(SQLiteCase, once.ExactOnceContract):
    pass


class PutTests(SQLiteCase, putting.PutContract):
    pass


class RestoreTests(SQLiteCase, restoring.RestoreContract):
    pass


class ExactPutTests(SQLiteCase, putting.ExactPutContract):
    pass


class BytesTests(SQLiteCase, timing.BytesContract):
    pass


class QueuesTests(SQLiteCase, queues.QueuesContract):
    pass


class GroupsTests(SQLiteCase, groups.GroupsContract):
    pass


class GroupTroublesTests(SQLiteCase, group_troubles.GroupTroublesContract):
    in_flight = 100_000


class StatesTests(SQLiteCase, states.StatesContract):
    pass


class ImportTargetTests(SQLiteCase, keeping.ImportTargetContract):
    @property
    def target(self) -> IImportTarget:
        store = self.store
        assert isinstance(store, SQLiteStore)
        return store.import_target()
