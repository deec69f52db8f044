"""The messages of the store on Cassandra, on tables in memory."""

from __future__ import annotations

from tests.contracts import delays, depth, lives, merging, messages, once, putting, replacing, timing
from tests.contracts.subject import Subject
from tests.storage.cassandra.messages.message_support import MessagesSubject


class AppendTests(messages.AppendContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class ScanTests(messages.ScanContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class ReplaceTests(replacing.ReplaceContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class DepthTests(depth.DepthContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class LifeTests(lives.LifeContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class ExpiryTests(timing.ExpiryContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class FutureTests(timing.FutureContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class DelayTests(delays.DelayContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class MergeTests(merging.MergeContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class PutTests(putting.PutContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()


class OnceTests(once.OnceContract):
    def make_subject(self) -> Subject:
        return MessagesSubject()
