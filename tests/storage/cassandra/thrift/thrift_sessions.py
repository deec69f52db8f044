"""What tests of sessions over Thrift begin with."""

from __future__ import annotations

from typing import Any

from thriftpy2.thrift import TApplicationException
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.port import (
    Bound,
    Kind,
    Level,
    Statement,
)
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from queuey.storage.cassandra.cluster.thrift.session import ThriftSession
from tests.storage.cassandra.thrift.thrift_support import (
    PORT,
    Network,
    Peer,
)

EXECUTE = "execute_prepared_cql3_query"
READ = Statement("SELECT a FROM k.t WHERE b = ?", Kind.READ)
WRITE = Statement("INSERT INTO k.t (a, b) VALUES (?, ?)", Kind.WRITE)
OTHER = Statement("DELETE FROM k.t WHERE b = ?", Kind.WRITE)
CLAIM = Statement("INSERT INTO k.t (a, b) VALUES (?, ?) IF NOT EXISTS", Kind.TRANSACTION)
TABLE = Statement("CREATE TABLE k.t (a blob PRIMARY KEY)", Kind.DEFINITION)

DEFECT = TApplicationException(6, "Internal error")


class ThriftSessionTestCase(SynchronousTestCase):
    """Three nodes, of which one is in another data centre, and two connections to each."""

    def setUp(self) -> None:
        self.first, self.second, self.far = Peer("10.0.0.1"), Peer("10.0.0.2"), Peer("10.0.0.3", "dc2")
        self.network = Network(self.first, self.second, self.far)
        self.session = self.make()
        connected = self.session.connect()
        self.network.settle()
        self.successResultOf(connected)

    def make(self, **more: Any) -> ThriftSession:
        settings = {"hosts": (Host("10.0.0.1", PORT),), "max_request": 1000, **more}
        return ThriftSession(SessionSettings(**settings), 2, self.network)

    def alone(self) -> None:
        """One node, by a new session."""
        self.network = Network(self.first)
        self.session = self.make()
        self.session.connect()
        self.network.settle()

    def script(self, *answers: Any, name: str = EXECUTE) -> None:
        """What the nodes answer one after the other, whichever is asked."""
        one = list(answers)
        self.first.script[name] = self.second.script[name] = one

    def read(self) -> Deferred[Any]:
        return self.session.execute(READ, (b"x",), Level.LOCAL_QUORUM)

    def write(self) -> Deferred[Any]:
        return self.session.execute(WRITE, (b"x", b"y"), Level.QUORUM)

    def claim(self) -> Deferred[Any]:
        return self.session.transact(CLAIM, (b"x", b"y"))

    def batch(self) -> Deferred[Any]:
        return self.session.batch([Bound(WRITE, (b"x", b"y")), Bound(OTHER, (b"z",))], Level.QUORUM, True)

    def define(self) -> Deferred[Any]:
        return self.session.execute(TABLE, (), Level.QUORUM)

    def fails(self, answer: Deferred[Any], kind: type[Exception] = Unavailable) -> Any:
        self.network.settle()
        return self.failureResultOf(answer, kind).value

    def result(self, answer: Deferred[Any]) -> Any:
        self.network.settle()
        return self.successResultOf(answer)

    def executions(self) -> int:
        return len(self.first.executed()) + len(self.second.executed())
