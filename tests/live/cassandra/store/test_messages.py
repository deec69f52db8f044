"""The state machine drives the messages on a real node; clocks are set, and the registry of queues is in memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.trial.unittest import TestCase

from queuey.interfaces import IStore
from queuey.storage.cassandra.cluster.cql.session import CQLSession
from queuey.storage.cassandra.cluster.port import Kind, Level, Statement
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from queuey.storage.cassandra.scripts import names, replication_cql, scripts
from tests.contracts import machine
from tests.live.cassandra.shared import cql_node, new_keyspace
from tests.storage.cassandra.messages.message_support import MessagesSubject

reactor: Any = _reactor
EXAMPLES: Final = 8


class Outside:
    """Something that lives in the reactor's thread, for another thread: whatever its methods give has come already.

    Its other attributes are as they are.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        return partial(self._call, attribute) if callable(attribute) else attribute

    @staticmethod
    def _call(method: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return maybeDeferred(blockingCallFromThread, reactor, method, *args)


class OutsideSubject(MessagesSubject):
    """A store for tests that run in a thread of their own."""

    def __init__(self, session: CQLSession, keyspace: str, not_once: str) -> None:
        super().__init__(lambda wall: session, keyspace, salt=secrets.token_bytes(8), not_once=not_once)
        self.store = cast(IStore, Outside(self.store))


class MachineTests(TestCase):
    timeout = 120
    not_once = ""

    async def setUp(self) -> None:  # type: ignore[override]
        self.keyspace = new_keyspace()
        address, port = cql_node()
        self.session = CQLSession(SessionSettings((Host(address, port),)), reactor, deferToThread)
        self.addCleanup(self.session.close)
        await self.session.connect()
        await self.make_tables()

    async def make_tables(self) -> None:
        put_in = names(self.keyspace, replication_cql(1))
        for text in [text for script in scripts() for text in script.statements(put_in)]:
            await self.session.execute(Statement(text, Kind.DEFINITION), (), Level.ONE)

    async def test_machine(self) -> None:
        def make() -> OutsideSubject:
            return OutsideSubject(self.session, self.keyspace, self.not_once)

        await deferToThread(machine.run, make, EXAMPLES, 40)
