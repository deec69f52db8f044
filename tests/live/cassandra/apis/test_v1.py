"""All of v1 on real nodes, over CQL and over Thrift.

The tests are those of the other stores. They ask and are answered within one call, so each runs in a thread, with the
daemon and its clock; the store works in the reactor, and the thread waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.trial.unittest import TestCase

from queuey.interfaces import IStore
from tests.http.api_support import ApiTestCase
from tests.http.v1 import test_lookup, test_messages, test_queues, test_refusals, test_stores
from tests.live.cassandra.shared import new_keyspace
from tests.live.cassandra.store.test_contracts import LIMIT, NodeSubject, connected, reactor
from tests.live.cassandra.thrift.test_thrift_store import connected as connected_over_thrift

Case = TypeVar("Case", bound=type[TestCase])


class Bridge:
    """A store in the reactor, for a thread that waits for each answer."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @property
    def states(self) -> Bridge:
        return Bridge(self._store.states)

    @property
    def capabilities(self) -> Any:
        return self._store.capabilities

    @property
    def metrics(self) -> Any:
        return self._store.metrics

    def open(self) -> None:
        """It is open."""

    def health_problems(self) -> Any:
        """What is known already needs no other thread."""
        return self._store.health_problems()

    def cached(self, application: str, name: str) -> Any:
        """The same holds for cached messages."""
        return self._store.cached(application, name)

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        method = getattr(self._store, name)

        def call(*args: object) -> Deferred[Any]:
            try:
                return succeed(blockingCallFromThread(reactor, method, *args))
            except Exception as error:
                return fail(error)

        return call


def in_threads(case: Case) -> Case:
    """Let each test of a case run in a thread."""
    for name in dir(case):
        if name.startswith("test_"):
            setattr(case, name, _in_a_thread(getattr(case, name)))
    return case


def _in_a_thread(test: Callable[[Any], None]) -> Callable[[Any], Deferred[None]]:
    @wraps(test)
    def run(self: Any) -> Deferred[None]:
        return deferToThread(test, self)

    return run


class OnCQL(TestCase, ApiTestCase):
    """A node that speaks CQL."""

    timeout = LIMIT
    keyspace: ClassVar[str] = new_keyspace()

    def setUp(self) -> Any:
        set_up = super().setUp

        async def connect() -> None:
            self.session = await self.connected()
            await deferToThread(set_up)

        return Deferred.fromCoroutine(connect())

    async def connected(self) -> Any:
        return await connected(self, self.keyspace)

    def make_store(self) -> IStore:
        subject = blockingCallFromThread(reactor, NodeSubject, self.session, self.keyspace, self.clock.seconds)
        self.addCleanup(subject.close)
        return cast(IStore, Bridge(subject.store))


class OnThrift(OnCQL):
    """A node that speaks Thrift."""

    keyspace: ClassVar[str] = new_keyspace()

    async def connected(self) -> Any:
        return await connected_over_thrift(self, self.keyspace)


@in_threads
class CQLPostTests(OnCQL, test_messages.PostTests):
    pass


@in_threads
class CQLBatchTests(OnCQL, test_messages.BatchTests):
    pass


@in_threads
class CQLReadTests(OnCQL, test_messages.ReadTests):
    pass


@in_threads
class CQLLookupTests(OnCQL, test_lookup.LookupTests):
    pass


@in_threads
class CQLCreateTests(OnCQL, test_queues.CreateTests):
    pass


@in_threads
class CQLChangeTests(OnCQL, test_queues.ChangeTests):
    pass


@in_threads
class CQLListTests(OnCQL, test_queues.ListTests):
    pass


@in_threads
class CQLDeleteTests(OnCQL, test_queues.DeleteTests):
    pass


@in_threads
class CQLCallerTests(OnCQL, test_refusals.CallerTests):
    pass


@in_threads
class CQLOrderTests(OnCQL, test_refusals.OrderTests):
    pass


@in_threads
class CQLPathTests(OnCQL, test_refusals.PathTests):
    pass


@in_threads
class CQLLimitTests(OnCQL, test_stores.CassandraLimitTests):
    pass


@in_threads
class ThriftPostTests(OnThrift, test_messages.PostTests):
    pass


@in_threads
class ThriftBatchTests(OnThrift, test_messages.BatchTests):
    pass


@in_threads
class ThriftReadTests(OnThrift, test_messages.ReadTests):
    pass


@in_threads
class ThriftLookupTests(OnThrift, test_lookup.LookupTests):
    pass


@in_threads
class ThriftCreateTests(OnThrift, test_queues.CreateTests):
    pass


@in_threads
class ThriftChangeTests(OnThrift, test_queues.ChangeTests):
    pass


@in_threads
class ThriftListTests(OnThrift, test_queues.ListTests):
    pass


@in_threads
class ThriftDeleteTests(OnThrift, test_queues.DeleteTests):
    pass


@in_threads
class ThriftCallerTests(OnThrift, test_refusals.CallerTests):
    pass


@in_threads
class ThriftOrderTests(OnThrift, test_refusals.OrderTests):
    pass


@in_threads
class ThriftPathTests(OnThrift, test_refusals.PathTests):
    pass


@in_threads
class ThriftLimitTests(OnThrift, test_stores.CassandraLimitTests):
    pass
