"""What tells the time on a real node: the lease by its own transactions, and the clock that the node tells."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from queuey.errors import Unavailable
from queuey.model.stable_time.lease import Terms
from queuey.model.stable_time.stable import Lateness
from queuey.model.stable_time.stamps import Place, StampRequest
from queuey.model.timeid import MessageId
from queuey.storage.cassandra.cluster.cql.session import CQLSession
from queuey.storage.cassandra.cluster.port import Kind, Level, Statement
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from queuey.storage.cassandra.scripts import names, replication_cql, scripts
from queuey.storage.cassandra.times.base import TimesBase
from queuey.storage.cassandra.times.clocks import ClockWatch
from queuey.storage.cassandra.times.lease import LeaseHolder
from queuey.storage.cassandra.times.machine_clock import MachineClock
from queuey.storage.cassandra.times.presence import Identity
from tests.live.cassandra.shared import cql_node, new_keyspace

reactor: Any = _reactor
LIMIT: Final = 30.0
"""Seconds within which anything that is waited for has to come, on a machine that does much else."""

HERE: Final = Place(1, 1)
Kinds = type[LeaseHolder] | type[ClockWatch]


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def stamp(times: TimesBase) -> MessageId:
    flight = times.begin([StampRequest(HERE)], False)
    times.landed(flight)
    return flight.ids[0]


class TimesTests(TestCase):
    """Front ends of both kinds, each with a session of its own."""

    timeout = 180
    keyspace: str

    async def setUp(self) -> None:  # type: ignore[override]
        address, port = cql_node()
        self.settings = SessionSettings((Host(address, port),))
        self.keyspace = new_keyspace()
        session = await self.session()
        for text in [t for script in scripts() for t in script.statements(names(self.keyspace, replication_cql(1)))]:
            await session.execute(Statement(text, Kind.DEFINITION), (), Level.ONE)

    async def session(self) -> CQLSession:
        session = CQLSession(self.settings, reactor, deferToThread)
        self.addCleanup(session.close)
        await session.connect()
        return session

    async def times(self, kind: Kinds, host: str, ahead: float = 0.0, terms: Terms | None = None) -> Any:
        times = kind(
            await self.session(),
            self.keyspace,
            Identity(uuid.uuid4(), host),
            Lateness(),
            terms or Terms(),
            reactor,
            MachineClock(lambda: time.time() + ahead, boottime),
            time.monotonic,
            secrets.randbits,
        )
        self.addCleanup(times.stop)
        return times

    async def until(self, condition: Callable[[], object]) -> float:
        """Wait for something; how many seconds it took."""
        began = time.monotonic()
        while not condition():
            self.assertLess(time.monotonic() - began, LIMIT)
            await deferLater(reactor, 0.05)
        return time.monotonic() - began

    async def test_the_lease_goes_from_one_to_the_next(self) -> None:
        first, second, third = [
            await self.times(LeaseHolder, host, ahead) for host, ahead in (("a", 5), ("b", 0), ("c", 0))
        ]
        await first.start()
        waiting = second.start()
        await self.until(lambda: "a holds" in str(second.reason))
        self.assertRaises(Unavailable, stamp, second)
        await deferLater(reactor, 5)
        ids = [stamp(first)]
        await first.stop()
        await waiting
        ids.append(stamp(second))
        third.start()
        await self.until(lambda: "b holds" in str(third.reason))
        # As if it had died: the lease is neither renewed nor given up.
        second.pace.stop()
        took = await self.until(lambda: third.reason is None)
        self.assertGreater(took, 10)
        self.assertLess(took, 18)
        ids.append(stamp(third))
        self.assertEqual(ids, sorted(ids))
        self.assertGreater(third.stable(HERE), ids[-1])

    async def test_a_clock_is_held_against_the_nodes(self) -> None:
        right = await self.times(ClockWatch, "right")
        await right.start()
        id = stamp(right)
        self.assertLess(right.stable(HERE), id)
        off = await self.times(ClockWatch, "off", ahead=3.0)
        off.start().addErrback(lambda failure: failure.trap(Unavailable))
        await self.until(lambda: "s ahead of the middle of 1 others" in str(off.reason))
        self.assertRaises(Unavailable, stamp, off)
        await self.until(lambda: right.stable(HERE) > id)
        one = await self.times(LeaseHolder, "one")
        one.start().addErrback(lambda failure: failure.trap(Unavailable))
        await self.until(lambda: "frontends = many" in str(one.reason))
        await right.stop()
        await self.until(lambda: one.reason is None)
