"""The whole store on tables in memory passes every contract."""

from __future__ import annotations

from queuey.storage.cassandra.import_target import CassandraImportTarget, Tables
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
from tests.storage.cassandra.store_support import StoreSubject


class StoreCase(Contract):
    def make_subject(self) -> StoreSubject:
        return StoreSubject()


class ImportTargetTests(StoreCase, keeping.ImportTargetContract):
    def make_subject(self) -> StoreSubject:
        subject = StoreSubject()
        tables, messages = Tables(subject.session, "ks"), subject.parts.messages
        parts = subject.parts
        self._target = CassandraImportTarget(
            subject.store, tables, messages, parts.registry, subject.times, subject.advance
        )
        return subject

    @property
    def target(self) -> CassandraImportTarget:
        return self._target


class QueuesTests(StoreCase, queues.QueuesContract):
    pass


class GroupsTests(StoreCase, groups.GroupsContract):
    pass


class GroupTroublesTests(StoreCase, group_troubles.GroupTroublesContract):
    pass


class StatesTests(StoreCase, states.StatesContract):
    pass


class DepthTests(StoreCase, depth.DepthContract):
    """How many messages and bytes a queue holds, and how old the oldest is."""


class LifeTests(StoreCase, messages.LifeContract):
    pass


class AppendTests(StoreCase, messages.AppendContract):
    pass


class ScanTests(StoreCase, messages.ScanContract):
    pass


class ReplaceTests(StoreCase, messages.ReplaceContract):
    pass


class ExpiryTests(StoreCase, timing.ExpiryContract):
    pass


class FutureTests(StoreCase, timing.FutureContract):
    pass


class DelayTests(StoreCase, timing.DelayContract):
    pass


class ManyTests(StoreCase, many.ManyContract):
    pass


class ChangesTests(StoreCase, many.ChangesContract):
    pass


class MergeTests(StoreCase, merging.MergeContract):
    pass


class PutTests(StoreCase, putting.PutContract):
    pass


class RestoreTests(StoreCase, restoring.RestoreContract):
    pass


class ClosingTests(StoreCase, closing.ClosingContract):
    pass


class OnceTests(StoreCase, once.OnceContract):
    pass


class GroupsOfManyTests(StoreCase, groups.GroupsContract):
    """The same as one of many front ends, which do not trust what they have cached."""

    def make_subject(self) -> StoreSubject:
        subject = StoreSubject()
        subject.store.alone = False
        return subject
