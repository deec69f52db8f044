"""The times of ``frontends = many``: front ends that share only the time, and compare their clocks."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from queuey.errors import Unavailable
from queuey.logs import EventLog
from queuey.model.stable_time.clock import ClockComparison, OtherClocks
from queuey.model.stable_time.lease import Lease, Terms
from queuey.model.stable_time.stable import Lateness, PeerFrontEnd
from queuey.model.stable_time.stamps import Place
from queuey.model.telemetry.counts import Gauge, Labels, gauge
from queuey.model.timeid import MessageId, Ticks, to_seconds
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Node, Statement
from queuey.storage.cassandra.times.base import MANY, ROW, TimesBase
from queuey.storage.cassandra.times.lease import POLL, LeaseTable
from queuey.storage.cassandra.times.machine_clock import OwnClock
from queuey.storage.cassandra.times.presence import READ_LIMIT, Identity, Peer
from queuey.storage.cassandra.times.retrying import Pace

RELIANCE: Final = 20.0
"""Seconds for which a comparison of clocks, and our row among the front ends, may be relied on."""

ROW_LIFE: Final = 30.0
"""Seconds that a row among the front ends lives."""

_NOW: Final = Statement("SELECT now() FROM system.local", Kind.READ)


class Sightings:
    """Looks at the clocks of the nodes and, by their rows, at those of other front ends."""

    def __init__(self, session: ICQLSession, clock: OwnClock, pace: Pace, others: OtherClocks) -> None:
        self._session = session
        self._clock = clock
        self._pace = pace
        self._others = others
        self._rows: dict[UUID, Ticks] = {}
        self._read: float | None = None

    async def of_nodes(self) -> None:
        """Look at the clocks of all nodes that are up; those that do not answer are passed over."""
        looks = [Deferred.fromCoroutine(self._of_node(node)) for node in self._session.nodes()]
        await gatherResults(looks, consumeErrors=True)

    async def _of_node(self, node: Node) -> None:
        after, _ = self._clock.read()
        try:
            rows = await self._pace.within(self._session.execute_on(node, _NOW, ()), READ_LIMIT)
        except Unavailable:
            return
        before, _ = self._clock.read()
        self._others.saw(f"node {node.address}", to_seconds(Ticks(rows[0][0].time)), after, before)

    def of_peers(self, peers: Sequence[Peer], asked: float) -> None:
        """Look at the clocks of other front ends: a row that is new was written after our last look.

        :param asked: CLOCK_BOOTTIME before the rows were read.
        """
        before, _ = self._clock.read()
        for peer in peers:
            if self._rows.get(peer.id) != peer.clock:
                known = peer.id in self._rows and self._read is not None
                after = self._read if known and self._read is not None else before - ROW_LIFE
                self._others.saw(f"front end on {peer.host} ({peer.id})", to_seconds(peer.clock), after, before)
        self._rows = {peer.id: peer.clock for peer in peers}
        self._read = asked


class ClockWatch(TimesBase):
    """Keeps this front end to the time of all; see Times.

    It serves while its clock is surely close to the middle of those of the nodes, and its row shows front ends of the
    other mode that it is there.

    :param timer: whose timers it uses.
    :param monotonic: CLOCK_MONOTONIC in seconds, by which it waits for the holder of a lease.
    :param bits: returns an integer of that number of random bits.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(
        self,
        session: ICQLSession,
        keyspace: str,
        identity: Identity,
        limits: Lateness,
        terms: Terms,
        timer: IReactorTime,
        clock: OwnClock,
        monotonic: Callable[[], float],
        bits: Callable[[int], int],
    ) -> None:
        self._rules = PeerFrontEnd(limits, bits)
        super().__init__(self._rules, session, keyspace, identity, MANY, timer, clock)
        self._limits = limits
        self._monotonic = monotonic
        self._others = OtherClocks(limits.skew)
        self._sightings = Sightings(session, clock, self.pace, self._others)
        self._table = LeaseTable(session, keyspace, self.pace)
        self._lease = Lease(identity.id, identity.host, terms)
        self._seen_until: float | None = None
        self._said = ""
        self._off: frozenset[str] = frozenset()
        self._verdict = ClockComparison(False, "", ())
        self.metrics = (
            *self.metrics,
            gauge(
                "queuey_clock_offset_seconds",
                "Seconds by which the clock of this front end is ahead of the median of the others.",
                lambda: self._verdict.ahead,
            ),
            Gauge(
                "queuey_clock_peer_offset_seconds",
                "Seconds by which the clock of another front end is certainly ahead of ours; negative if it is behind.",
                ("peer",),
                self._peers,
            ),
        )

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        """See Times."""
        return self._rules.stable(place, *self._clock.read(), slow, weak)

    def _peers(self) -> Mapping[Labels, float]:
        return {(name,): seconds for name, seconds in self._verdict.others}

    def registry_age(self) -> float | None:
        """See Times."""
        return self._limits.settle(False) / 2

    def parts(self) -> Sequence[Coroutine[Deferred[Any], Any, None]]:
        """See TimesBase."""
        return [self._run()]

    def lacking(self) -> str:
        """See TimesBase: it may wait for the holder of a lease too."""
        return "lease" if self._said == "mode" else "clock"

    async def leave(self) -> None:
        """See TimesBase."""
        try:
            await self._presence.withdraw()
        except Exception:
            self._trouble.met()

    async def _run(self) -> None:
        while not self.pace.stopped:
            try:
                pause = ROW if await self._round() else POLL
                self._trouble.over()
            except Exception as error:
                pause = self._trouble.met()
                if not self._rules.fit(self._clock.read()[0]):
                    self._rules.why = f"This front end could not look at the clocks of the cluster: {error}"
            await self.pace.sleep(pause)

    async def _round(self) -> bool:
        """Compare the clocks, and be seen; whether we serve then."""
        self._follower.follow(not self._rules.fit(self._clock.read()[0], True))
        await self._sightings.of_nodes()
        compared, now = self._clock.read()
        verdict = self._others.compare(compared, to_seconds(now) - compared)
        self._verdict = verdict
        self._tell_of_others(verdict)
        if not verdict.right:
            self._rules.rest()
            self._wait("clock", verdict.text)
            return False
        self._rules.right(compared + RELIANCE)
        if not await self._be_seen():
            return False
        asked, _ = self._clock.read()
        self._sightings.of_peers(await self._presence.others(), asked)
        if self.pace.stopped:
            return False
        self._serve(compared)
        return True

    async def _be_seen(self) -> bool:
        """Refresh our row among the front ends; return whether no front end serves by a lease.

        A front end that takes the lease looks for our row after that, and we look for a lease after we have written the
        row.
        """
        boot, now = self._clock.read()
        was_unseen = self._seen_until is None or boot >= self._seen_until
        if was_unseen and await self._is_leased():
            return False
        await self._presence.announce(now)
        if was_unseen and await self._is_leased():
            await self._presence.withdraw()
            return False
        self._seen_until = boot + RELIANCE
        return True

    async def _is_leased(self) -> bool:
        """Whether a front end serves by the lease of the other mode."""
        self._seen_until = None
        row = await self._table.read()
        if row is None or self._lease.may_take(row, self._monotonic()):
            return False
        self._rules.rest()
        text = f"The front end on {row.host} has frontends = one, and serves alone"
        self._wait("mode", f"{text}; this one has frontends = many, and waits until that one has stopped.")
        return True

    def _serve(self, compared: float) -> None:
        assert self._seen_until is not None
        began = not self._rules.fit(self._clock.read()[0])
        self._rules.serve(min(compared + RELIANCE, self._seen_until))
        if began:
            self.tenure += 1
            self._rules.why = "This front end could not look at the clocks of the cluster for too long."
            self._said = ""
            self._log.info("clocks-right", "this front end serves: its clock is close enough to those of the cluster")
            self.be_ready()

    def _wait(self, for_what: str, text: str) -> None:
        self._rules.why = text
        if self._said == for_what:
            return
        self._said = for_what
        if for_what == "clock":
            self._log.warn("clock-off", "{text}", text=text)
        else:
            self._log.warn("modes-mixed", "{text}", text=text)

    def _tell_of_others(self, verdict: ClockComparison) -> None:
        off = dict(verdict.off)
        for name in sorted(off.keys() - self._off):
            self._log.warn(
                "other-clock-off",
                "{name} is {ahead} s from the median of all clocks",
                name=name,
                ahead=f"{off[name]:+.3f}",
            )
        self._off = frozenset(off)
