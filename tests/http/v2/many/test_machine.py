"""A random machine of several queues, connections and front ends: a live read of all of them sends each message once,
or reports a gap in its queue.
"""

from __future__ import annotations

from random import Random

from queuey.interfaces import IStore
from tests import tried
from tests.http.api_support import OWNER
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.live.test_live import Event, Follower, LiveTestCase, events
from tests.http.wire_support import Client as Requests

RUNS = tried(40, 600)
SLOW_RUNS = tried(6, 200)
"""The same on stores on which a run takes longer."""

STEPS = 60
NAMES = 5
SETTLED = 5.0
"""Seconds after which readers see everything."""


class Reader:
    """What an EventSource of many queues knows: its place, and what it was shown.

    :ivar seen: the bodies of messages, in the order in which they came.
    :ivar gaps: the queues of which it got the event that something may be gone.
    :ivar there: the queues that events named, by the last change of each.
    """

    def __init__(self) -> None:
        self.place: str | None = None
        self.seen: list[str] = []
        self.gaps: set[str] = set()
        self.there: dict[str, str] = {}

    def read(self, text: str) -> None:
        """Take what has come of one connection; a block that is cut is as if it had not come."""
        for event in events(text):
            self._take(event)

    def _take(self, event: Event) -> None:
        if event.name == "message" and event.data is not None:
            assert event.json["body"].startswith(f"{event.json['queue']} ")
            self.seen.append(event.json["body"])
        elif event.name == "gap":
            self.gaps.add(event.json["queue"])
        elif event.name == "queue":
            self.there[event.json["queue"]] = event.json["change"]
        self.place = event.id or self.place


class ManyMachineCase(LiveTestCase):
    """Posts, delays, purges, expiry, new queues, deletions and cuts in any order, and restarts if the store keeps its
    data.

    :ivar stored: messages that were stored, by queue.
    """

    partitions = 3
    runs = RUNS
    settled = SETTLED

    def run_once(self, random: Random, start: str) -> None:
        self.random, self.start = random, start
        self.reader, self.follower = Reader(), Follower(self.client.start("GET", self.url("start=oldest"), OWNER))
        self.turn()
        self.stored: dict[str, set[str]] = {}
        for number in range(STEPS):
            queue = f"{start}{random.randrange(NAMES)}"
            step = random.randrange(12)
            if queue not in self.stored or step < 6:
                self.store_one(queue, f"{queue} {number}")
            elif step < 8:
                self.cut()
            elif step == 8 and random.random() < 0.5:
                path = self.path(f"?before={self.clock.seconds() + 1}", queue)
                self.assertEqual(self.send("DELETE", path).status, 204)
            elif step == 9 and random.random() < 0.3:
                self.delete(queue)
            elif step == 10 and random.random() < 0.5:
                self.restart()
            self.turn(random.choice((0, 0, 0.2, 2, 16)))
        self.turn(self.settled)
        self.reader.read(self.follower.text)
        self.follower.connection.hang_up()
        self.check()
        self.nothing_left()

    def url(self, query: str = "errors=status") -> str:
        """All queues of a run: those whose names begin so, and none of them has to exist."""
        return f"/v2/app/events?prefix={self.start}&limit={self.random.choice((1, 3, 1000))}&{query}"

    def store_one(self, queue: str, body: str) -> None:
        if queue not in self.stored:
            self.make(queue, partitions=3, ttl=self.random.choice((30, 3600)))
            self.stored[queue] = set()
        delay = self.random.choice(("", "", "&delay=3"))
        self.appended(body, f"?partition={self.random.randint(1, 3)}{delay}", queue)
        self.stored[queue].add(body)

    def delete(self, queue: str) -> None:
        """Delete a queue; a later one of the same name is another one."""
        self.assertEqual(self.send("DELETE", f"/queues/{queue}").status, 204)
        del self.stored[queue]
        self.read_some()  # its gaps are not those of a later one
        self.reader.gaps.discard(queue)
        self.follower.connection.hang_up()
        self.back()

    def check(self) -> None:
        reader = self.reader
        self.assertEqual(len(reader.seen), len(set(reader.seen)), "a message came twice")
        for queue, stored in self.stored.items():
            missing = stored - set(reader.seen)
            if missing:
                self.assertIn(queue, reader.gaps, f"{sorted(missing)} are missing, and no gap was told")
            self.assertNotEqual(reader.there.get(queue), "deleted")

    def cut(self) -> None:
        """Cut the connection at any byte, stay away for a while, and come back with the last place."""
        self.read_some()
        self.follower.connection.hang_up()
        self.back()

    def read_some(self) -> None:
        """Let what came arrive up to any byte, but at least the first block, which has a place."""
        text = self.follower.text
        first = 0 if self.reader.place else text.index("\n\n") + 2
        self.reader.read(text[: self.random.randint(first, len(text))])

    def back(self) -> None:
        for _ in range(self.random.randrange(3)):
            self.turn(self.random.choice((0.1, 1, 40)))
        headers = {**OWNER, "Last-Event-ID": str(self.reader.place)}
        self.follower = Follower(self.client.start("GET", self.url(), headers))
        self.turn()

    def restart(self) -> None:
        """A store that keeps its data is served by another front end afterwards; others go on."""


class ManyMachineTests(ManyMachineCase):
    """In memory."""

    def test_random(self) -> None:
        for seed in range(self.runs):
            with self.subTest(seed=seed):
                self.run_once(Random(seed), f"m{seed}-")


class Restarting(ManyMachineCase):
    """A store that keeps its data."""

    runs = SLOW_RUNS

    def make_store_again(self) -> IStore:
        """Another store of the same data."""
        raise NotImplementedError

    def restart(self) -> None:
        """The front end ends, politely or at any byte, and another one takes its place."""
        if self.random.random() < 0.5:
            self.assembly.live.stop(3)
            self.turn()
            self.assertTrue(self.follower.over)
            self.reader.read(self.follower.text)
        else:
            self.read_some()
        self.follower.connection.hang_up()
        self.store = self.make_store_again()
        self.store.open()
        self.assembly = self.make_assembly(self.settings)
        self.client = Requests(self.assembly.site)
        self.timers = len(self.clock.getDelayedCalls()) + 1  # that of the site, once it has had a connection
        self.back()


class SQLiteManyMachineTests(OnSQLite, Restarting, ManyMachineTests):
    pass


class CassandraManyMachineTests(OnCassandra, Restarting, ManyMachineTests):
    run_in = "test-long"
    settled = 60.0
