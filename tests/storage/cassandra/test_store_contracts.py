"""The whole store on tables in memory passes every contract, and the state machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.contracts import machine, merging, messages, once, putting, queues, states, timing
from tests.contracts.subject import Contract
from tests.storage.cassandra.store_support import StoreSubject


class StoreCase(Contract):
    def make_subject(self) -> StoreSubject:
        return StoreSubject()


class QueuesTests(StoreCase, queues.QueuesContract):
    pass


class StatesTests(StoreCase, states.StatesContract):
    pass


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


class MergeTests(StoreCase, merging.MergeContract):
    pass


class PutTests(StoreCase, putting.PutContract):
    pass


class OnceTests(StoreCase, once.OnceContract):
    pass


class MachineTests(SynchronousTestCase):
    def test_machine(self) -> None:
        machine.run(StoreSubject, examples=40)
