"""A random machine of queues, connections and front ends: a live read sends each message once, or reports a gap."""

from __future__ import annotations

from random import Random

from queuey.interfaces import IStore
from tests import tried
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.live.test_live import Event, Follower, LiveTestCase, events
from tests.http.wire_support import Client as Requests

RUNS = tried(40, 600)
SLOW_RUNS = tried(6, 200)
"""The same on stores on which a run takes longer."""

STEPS = 40
SETTLED = 5.0
"""Seconds after which readers see everything."""


class Client:
    """What an EventSource knows: its place, and what it has been shown.

    :ivar seen: the bodies of messages, in the order in which they came.
    :ivar gaps: how often it got the event that something may be gone.
    """

    def __init__(self) -> None:
        self.place: str | None = None
        self.seen: list[str] = []
        self.gaps = 0

    def read(self, text: str) -> None:
        """Take what has come of one connection; a block that is cut is as if it had not come."""
        for event in events(text):
            self._take(event)

    def _take(self, event: Event) -> None:
        if event.name == "message" and event.data is not None:
            self.seen.append(event.json["body"])
        self.gaps += event.name == "gap"
        self.place = event.id or self.place


class MachineCase(LiveTestCase):
    """Posts, delays, purges, expiry and cuts in any order, and restarts if the store keeps its data."""

    partitions = 3
    runs = RUNS
    settled = SETTLED

    def run_once(self, random: Random, queue: str) -> None:
        self.make(queue, partitions=3, ttl=random.choice((30, 3600)))
        client, stored, gone = Client(), set[str](), False
        follower = self.follow("start=oldest", queue)
        for number in range(STEPS):
            step = random.randrange(10)
            if step < 5:
                delay = random.choice(("", "", "&delay=3"))
                self.appended(f"{queue}-{number}", f"?partition={random.randint(1, 3)}{delay}", queue)
                stored.add(f"{queue}-{number}")
            elif step < 7:
                follower = self.cut(random, client, follower, queue)
            elif step == 7 and random.random() < 0.5:
                self.assertEqual(
                    self.send("DELETE", self.path(f"?before={self.clock.seconds() + 1}", queue)).status, 204
                )
                gone = True
            elif step == 8 and random.random() < 0.5:
                follower = self.restarted(random, client, follower, queue)
            self.turn(random.choice((0, 0, 0.2, 2, 16)))
        self.turn(self.settled)
        client.read(follower.text)
        follower.connection.hang_up()
        self.assertEqual(len(client.seen), len(set(client.seen)), "a message came twice")
        self.assertLessEqual(set(client.seen), stored)
        missing = stored - set(client.seen)
        if missing:
            self.assertGreater(client.gaps, 0, f"{sorted(missing)} are missing, and no gap was told")
        elif not gone:
            self.assertEqual(set(client.seen), stored)
        self.nothing_left()

    def cut(self, random: Random, client: Client, follower: Follower, queue: str) -> Follower:
        """Cut the connection at any byte, stay away for a while, and come back with the last place."""
        self.read_some(random, client, follower)
        follower.connection.hang_up()
        return self.back(random, client, queue)

    def read_some(self, random: Random, client: Client, follower: Follower) -> None:
        """Let what came arrive up to any byte.

        The first block arrives: a client that was never given a place begins at the oldest message again, and gets no
        event about what is gone by then.
        """
        text = follower.text
        first = 0 if client.place else text.index("\n\n") + 2
        client.read(text[: random.randint(first, len(text))])

    def back(self, random: Random, client: Client, queue: str) -> Follower:
        for _ in range(random.randrange(3)):
            self.turn(random.choice((0.1, 1, 40)))
        return self.follow("", queue, Last_Event_ID=str(client.place))

    def restarted(self, random: Random, client: Client, follower: Follower, queue: str) -> Follower:
        """A store that keeps its data is served by another front end afterwards; others go on."""
        return follower


class MachineTests(MachineCase):
    """In memory."""

    def test_random(self) -> None:
        for seed in range(self.runs):
            with self.subTest(seed=seed):
                self.run_once(Random(seed), f"m{seed}")


class Restarting(MachineCase):
    """A store that keeps its data."""

    runs = SLOW_RUNS

    def make_store_again(self) -> IStore:
        """Another store of the same data."""
        raise NotImplementedError

    def restarted(self, random: Random, client: Client, follower: Follower, queue: str) -> Follower:
        """The front end ends, politely or at any byte, and another one takes its place."""
        if random.random() < 0.5:
            self.assembly.live.stop(3)
            self.turn()
            self.assertTrue(follower.over)
            client.read(follower.text)
        else:
            self.read_some(random, client, follower)
        follower.connection.hang_up()
        self.store = self.make_store_again()
        self.store.open()
        self.assembly = self.make_assembly(self.settings)
        self.client = Requests(self.assembly.site)
        self.timers = len(self.clock.getDelayedCalls()) + 1  # that of the site, once it has had a connection
        return self.back(random, client, queue)


class SQLiteMachineTests(OnSQLite, Restarting, MachineTests):
    pass


class CassandraMachineTests(OnCassandra, Restarting, MachineTests):
    run_in = "test-long"
    settled = 60.0
