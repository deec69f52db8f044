"""The times of ``frontends = one``: the front end that holds the lease serves, all others wait their turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from queuey.errors import Unavailable
from queuey.logs import EventLog
from queuey.model.stable_time.lease import Beat, Lease, LeaseRow, Terms
from queuey.model.stable_time.stable import Lateness, SoleFrontEnd
from queuey.model.stable_time.stamps import Place
from queuey.model.telemetry.counts import Counter, gauge
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.cluster.port import ICQLSession, Kind, Level, Statement
from queuey.storage.cassandra.times.base import MANY, ONE, ROW, TimesBase
from queuey.storage.cassandra.times.machine_clock import OwnClock
from queuey.storage.cassandra.times.presence import READ_LIMIT, WRITE_LIMIT, Identity
from queuey.storage.cassandra.times.retrying import Pace, Trouble

POLL: Final = 1.0
"""Seconds between two looks at a lease that another one holds."""

AGAIN: Final = 0.5
"""Seconds after a beat that failed."""

KEY: Final = "lease"

TAKEN: Final = ("taken",)
LOST: Final = ("lost",)
RELEASED: Final = ("released",)


class LeaseTable:
    """The row of the lease."""

    def __init__(self, session: ICQLSession, keyspace: str, pace: Pace) -> None:
        self._session = session
        self._pace = pace
        table = f"{keyspace}.lease"
        self._select = Statement(f"SELECT owner, host, beat, ceiling FROM {table} WHERE k = ?", Kind.READ)
        self._insert = Statement(
            f"INSERT INTO {table} (k, owner, host, beat, ceiling) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS",
            Kind.TRANSACTION,
        )
        self._update = Statement(
            f"UPDATE {table} SET owner = ?, host = ?, beat = ?, ceiling = ? WHERE k = ? IF owner = ? AND beat = ?",
            Kind.TRANSACTION,
        )

    async def read(self) -> LeaseRow | None:
        """Read the stored lease, after deciding transactions under way."""
        rows = await self._pace.within(self._session.execute(self._select, (KEY,), Level.SERIAL), READ_LIMIT)
        if not rows:
            return None
        owner, host, beat, ceiling = rows[0]
        return LeaseRow(owner, host, beat, Ticks(ceiling))

    async def change(self, beat: Beat) -> tuple[Any, Any] | None:
        """Send a change.

        :return: ``None`` if it was applied; else the owner and the number that are stored, if there are any.
        :raise Unavailable: with the known outcome.
        """
        verdict = await self._pace.within(self._session.transact(*self._bound(beat)), WRITE_LIMIT)
        return None if verdict.applied else (verdict.found.get("owner"), verdict.found.get("beat"))

    def _bound(self, beat: Beat) -> tuple[Statement, Sequence[Any]]:
        row = beat.row
        values = row.owner, row.host, row.beat, row.ceiling
        if beat.seen is None:
            return self._insert, (KEY, *values)
        return self._update, (*values, KEY, beat.seen.owner, beat.seen.beat)


class LeaseState(Enum):
    """The state of the lease after a requested change."""

    OURS = "ours"
    OPEN = "ours as before, or not known"
    TAKEN = "another's"
    LATE = "ours, and it is too late to go on with it"


class LeaseHolder(TimesBase):
    """Holds the lease for this process; see Times.

    If the cluster does not answer, it keeps asking. Once the last acknowledged beat is too old, the front end stamps,
    acknowledges and shows no messages; the lease is then taken again.

    :param timer: the clock of its timers.
    :param clock: our time; it is not compared with that of others, because no other front end serves.
    :param monotonic: CLOCK_MONOTONIC in seconds, by which it waits for another holder.
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
        self._rules = SoleFrontEnd(limits, bits, Lease(identity.id, identity.host, terms))
        super().__init__(self._rules, session, keyspace, identity, ONE, timer, clock)
        self._monotonic = monotonic
        self._terms = terms
        self._table = LeaseTable(session, keyspace, self.pace)
        self._announced = Trouble()
        self._waits_for = ""
        self._changes = Counter(
            "queuey_lease_changes_total", "How often this front end took, lost or released the lease.", ("change",)
        )
        self.metrics = (
            *self.metrics,
            gauge(
                "queuey_lease_held",
                "Whether this front end holds the lease.",
                lambda: self._rules.lease.holds(self._clock.read()[0]),
            ),
            self._changes,
        )

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        """See Times; the consistency of the queue makes no difference here."""
        return self._rules.stable(place, *self._clock.read())

    def registry_age(self) -> float | None:
        """See Times."""
        return None

    def parts(self) -> Sequence[Coroutine[Deferred[Any], Any, None]]:
        """See TimesBase."""
        return [self._run(), self._announce()]

    def lacking(self) -> str:
        """See TimesBase."""
        return "lease"

    async def leave(self) -> None:
        """See TimesBase: release the lease for a process that waits for it."""
        try:
            await self._release()
            await self._presence.withdraw()
        except Exception:
            self._trouble.met()

    # The lease

    async def _run(self) -> None:
        while not self.pace.stopped:
            pause = POLL
            self._rules.step_down()
            try:
                self._follower.follow(True)
                if await self._take():
                    self._trouble.over()
                    await self._keep()
                    pause = 0
                else:
                    self._trouble.over()
            except Exception as error:
                pause = self._trouble.met()
                self._rules.why = f"This front end has not got the lease of the cluster: {error}"
            await self.pace.sleep(pause)

    async def _take(self) -> bool:
        """Take the lease, if it is free and no other rule prevents it; return whether we serve by it."""
        row = await self._table.read()
        if not self._rules.lease.may_take(row, self._monotonic()):
            assert row is not None
            text = f"The front end on {row.host} holds the lease of the cluster"
            self._wait("lease", f"{text}; this one serves once that one has stopped.")
            return False
        if await self._peers():
            return False
        standing = await self._ask(self._rules.take(row, *self._clock.read()))
        if standing is not LeaseState.OURS or self.pace.stopped:
            return False
        if await self._peers():  # looked for once more: they look for a lease after they have announced themselves
            await self._release()
            return False
        self._serve()
        return True

    async def _peers(self) -> bool:
        """Whether front ends are there that do not go by the lease."""
        hosts = sorted({peer.host for peer in await self._presence.others() if peer.mode == MANY})
        if hosts:
            text = f"Front ends with frontends = many serve, on {', '.join(hosts)}"
            self._wait("mode", f"{text}; this one has frontends = one, and waits until they have stopped.")
        return bool(hosts)

    def _wait(self, for_what: str, text: str) -> None:
        """It is not our turn."""
        self._rules.why = text
        if self._waits_for != text:
            self._waits_for = text
            if for_what == "lease":
                self._log.warn("lease-waits", "{text}", text=text)
            else:
                self._log.warn("modes-mixed", "{text}", text=text)

    def _serve(self) -> None:
        self._rules.why = "This front end could not renew its lease of the cluster in time."
        self._rules.serve()
        self.tenure += 1
        self._changes.add(TAKEN)
        self._waits_for = ""
        self._log.info("lease-taken", "this front end holds the lease of the cluster, and serves")
        self.be_ready()

    async def _keep(self) -> None:
        """Renew the lease until it is lost, or all stops."""
        pause = self._terms.beat
        while True:
            await self.pace.sleep(pause)
            if self.pace.stopped:
                return
            pause = await self._beat()
            if pause < 0:
                break
        self._changes.add(LOST)
        self._log.warn("lease-lost", "the lease of the cluster was not renewed in time; it is taken again")
        self._trouble.afresh()

    async def _beat(self) -> float:
        """Renew the lease once.

        :return: seconds until the next renewal; negative if the lease is lost.
        """
        self._follower.follow(False)
        boot, now = self._clock.read()
        if not self._rules.lease.holds(boot):
            return -1
        try:
            standing = await self._ask(self._rules.beat(boot, now))
        except Exception:
            self._trouble.met()
            return AGAIN
        if standing is LeaseState.OPEN:
            return AGAIN
        self._trouble.over()
        return max(AGAIN, boot + self._terms.beat - self._clock.read()[0]) if standing is LeaseState.OURS else -1

    async def _ask(self, beat: Beat) -> LeaseState:
        """Send a change, and find out what is stored afterwards.

        :raise Unavailable: that could not be found out.
        """
        try:
            found = await self._table.change(beat)
        except Unavailable as error:
            if error.applied == "no":
                raise
            row = await self._table.read()
            found = (row.owner, row.beat) if row else (None, None)
        else:
            if found is None:
                return self._applied(beat)
        return self._standing(*found)

    def _standing(self, owner: Any, number: Any) -> LeaseState:
        ours = self._rules.lease.ours(owner, number)
        if ours is not None:
            return self._applied(ours)
        return LeaseState.OPEN if owner == self._presence.id else LeaseState.TAKEN

    def _applied(self, beat: Beat) -> LeaseState:
        return LeaseState.OURS if self._rules.applied(beat, self._clock.read()[0]) else LeaseState.LATE

    async def _release(self) -> None:
        beat = self._rules.release()
        if beat is not None:
            self._changes.add(RELEASED)
            await self._table.change(beat)

    async def _announce(self) -> None:
        """Be seen among the front ends, for operators."""
        while not self.pace.stopped:
            pause = ROW
            try:
                await self._presence.announce(self.now())
                self._announced.over()
            except Exception:
                pause = max(ROW, self._announced.met())
            await self.pace.sleep(pause)
