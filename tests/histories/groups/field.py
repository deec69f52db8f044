"""Clients of one queue and its groups over HTTP, before servers that somebody else breaks meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Final

import attrs

from tests.histories import checkers as plain
from tests.histories.clients import Client, Log, Worker, working
from tests.histories.groups.checkers import Verdict, judge, told
from tests.histories.groups.crew import ServerClock, ask_until, crew, dead_letters, path_of, set_aside, set_up
from tests.histories.groups.history import End, GroupHistory, Plan
from tests.histories.groups.minds import PARTITIONS, PLANS, QUIET, DrainMind
from tests.histories.groups.several import minds
from tests.histories.groups.view import View
from tests.histories.producers import producers
from tests.histories.readers import read_all, readers
from tests.live.cassandra.histories import found_by
from tests.live.cassandra.load import Target

LOG: Final = Log("q", PARTITIONS)

EMPTIED: Final = 1800.0
"""Seconds that it may take to empty a group, which may be hours behind."""

KEPT: Final = Path(__file__).parents[3] / ".histories"
"""Where histories are kept in which something is wrong."""


@attrs.frozen
class Load:
    """How much clients do.

    :ivar workers: of each group.
    :ivar pause: seconds between two things that a producer sends.
    :ivar owners: seconds between two redrives; seeks are half as frequent.
    :ivar jumps: seconds by which a server's clock is set back at the most: leases last so much longer.
    :ivar settles: seconds after which readers are shown what was posted at the latest.
    """

    workers: int = 2
    producers: int = 2
    pause: float = 0.25
    owners: float = 5.0
    jumps: float = 0.0
    settles: float = 0.0


class Field:
    """A history in the making.

    :ivar targets: where clients go.
    :ivar clock: that of the servers; a fault that sets theirs reports it.
    """

    def __init__(
        self, targets: Sequence[Target], seed: int, load: Load, plans: Sequence[Plan] = PLANS, log: Log = LOG
    ) -> None:
        self.history = GroupHistory()
        self.clock = ServerClock()
        self.verdicts: list[Verdict] = []
        self.targets = tuple(targets)
        self._seed = seed
        self._load = load
        self._plans = tuple(plans)
        self._log = log

    def _client(self, target: Target) -> closing[Client]:
        return closing(Client([target], self.history, Random(0)))

    def set_up(self, target: Target, consistency: str = "strong") -> None:
        """Make the queues and the groups."""
        with self._client(target) as client:
            set_up(client, self._log, self._plans, consistency)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let producers, readers, workers and owners work meanwhile."""
        load, seed = self._load, self._seed
        with working(readers(self.targets, self._log, self.history, seed, self.clock.latest)):
            hands: list[Worker] = producers(load.producers, self.targets, self._log, self.history, seed, load.pause)
            some = minds(self._plans, seed, load.workers, load.owners)
            hands += crew(some, self.targets, self._log, self.history, self.clock, seed)
            with working(hands):
                yield
            time.sleep(load.settles)

    def judge(self, target: Target) -> list[str]:
        """Empty all groups, with nothing broken any more, and hold all of it together.

        :return: what is wrong.
        """
        drains = [DrainMind(plan, QUIET + self._load.jumps) for plan in self._plans]
        hands = crew(drains, [target], self._log, self.history, self.clock, self._seed)
        for hand in hands:
            hand.start()
        for hand in hands:
            hand.join(EMPTIED)
        view = View(self.history, self._end(target), self._plans)
        self.verdicts = judge(view)
        both = plain.problems(self.history, view.end.found) + found_by(told(self.verdicts))
        return both + list(self._lags(target))

    def _end(self, target: Target) -> End:
        with self._client(target) as client:
            return End(read_all(target, self._log), dead_letters(client), set_aside(client, self._log, self._plans))

    def _lags(self, target: Target) -> Iterator[str]:
        """A group that was emptied says that it is behind."""
        with self._client(target) as client:
            for plan in self._plans:
                for one in ask_until(client, "GET", path_of(self._log, plan.name))["lag"]:
                    if one["in_flight"] or one["waiting"] or one["behind"]["count"]:
                        yield f"{plan.name} was emptied, and says of itself: {one}"

    def report(self) -> Iterator[str]:
        """What was done, and what each checker looked at."""
        yield f"QUEUEY_SEED={self._seed}"
        yield self.history.summary()
        yield from self.history.lines()
        for verdict in self.verdicts:
            yield f"checker {verdict.checker}: looked at {verdict.looked}, found {len(verdict.wrong)}"

    def idle(self) -> list[str]:
        """What no checker looked at, and what was never done or never happened, though it should have been."""
        counts = self.history.counts()
        words = {asked.outcome for one in self.history.settlements for asked in one.asked}
        return [
            *(verdict.checker for verdict in self.verdicts if not verdict.looked),
            *(kind for kind in ("claim", "settle", "seek", "redrive", "post", "read") if not counts[kind, "ok"]),
            *(() if any(one.groups and one.given for one in self.history.claims) else ("a claim of several groups",)),
            *(() if self.history.settled_by_claims else ("settlements by claims",)),
            *sorted({"acked", "already-acked", "retrying", "extended", "stale", "invalid"} - words),
        ]

    def keep(self, store: str, log: str) -> str:
        """Keep a history in which something is wrong, and beside it what its daemons and their workers wrote.

        :param log: of all of them, in all their runs.
        :return: a sentence that says where both are.
        """
        KEPT.mkdir(exist_ok=True)
        path = KEPT / f"{store}-{self._seed}.jsonl"
        self.history.save(path)
        path.with_suffix(".log").write_text(log, encoding="utf-8")
        return f"the history is in {path}, and the log is beside it"
