"""The whole store on tables in memory passes every contract."""

from __future__ import annotations

from queuey.storage.cassandra.import_target import CassandraImportTarget, Tables
from tests.again import again
from tests.contracts import (
    group_troubles,
    groups,
    keeping,
    once,
)
from tests.contracts.every import EVERY
from tests.contracts.subject import Contract
from tests.storage.cassandra.store.store_support import StoreSubject


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


class GroupsOfManyTests(StoreCase, groups.GroupsContract):
    """The same as one of many front ends, which do not trust what they have cached."""

    def make_subject(self) -> StoreSubject:
        subject = StoreSubject()
        subject.store.alone = False
        return subject


again(__name__, {"": StoreCase}, (*EVERY, group_troubles.GroupTroublesContract, once.OnceContract))
